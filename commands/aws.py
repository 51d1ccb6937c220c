"""`flask --app app aws …`."""

from __future__ import annotations

import click

from commands.terminal import Nouns


@click.group("aws", cls=Nouns)
def aws() -> None:
    """Group aws."""

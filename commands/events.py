"""`flask --app app events …`."""

from __future__ import annotations

import click

from commands.terminal import Nouns


@click.group("events", cls=Nouns)
def events() -> None:
    """Group events."""

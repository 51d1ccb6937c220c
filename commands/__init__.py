"""The command line: one click group per noun, the same services as the web pages."""

from __future__ import annotations

from flask import Flask

from commands import audience as _audience  # noqa: F401 - adds its commands to the campaigns
from commands.aws import aws
from commands.campaigns import campaigns
from commands.events import events
from commands.lists import lists
from commands.suppressions import suppressions
from commands.users import users


def register(app: Flask) -> None:
    """Add every group to `flask --app app …`."""
    for group in (users, campaigns, lists, suppressions, events, aws):
        app.cli.add_command(group)

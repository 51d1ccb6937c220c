"""`flask --app app users …`: the people who may sign in."""

from __future__ import annotations

import sys

import click

from commands.terminal import Nouns, answer, changing, json_option, now
from services.installation import drop_setup_token
from services.users import create_user


@click.group("users", cls=Nouns)
def users() -> None:
    """People who may sign in."""


@users.command("create")
@click.argument("email")
@json_option
def create(email: str, as_json: bool) -> None:
    """Create an account; the password comes from a prompt, or from stdin."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    with changing() as session:
        user = create_user(session, email, password, now())
        drop_setup_token(session)
        document = {"id": user.id, "email": user.email}
    answer(document, as_json, f"{document['email']} can sign in now.")

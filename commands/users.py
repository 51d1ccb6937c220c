"""`flask --app app users …`: the people who may sign in."""

from __future__ import annotations

import sys

import click

from commands.terminal import Nouns, answer, changing, json_option, now
from services.installation import drop_setup_token
from services.users import create_user, set_password


@click.group("users", cls=Nouns)
def users() -> None:
    """People who may sign in."""


@users.command("create")
@click.argument("email")
@json_option
def create(email: str, as_json: bool) -> None:
    """Create an account; the password comes from a prompt, or from stdin."""
    password = _ask_password()
    with changing() as session:
        user = create_user(session, email, password, now())
        drop_setup_token(session)
        document = {"id": user.id, "email": user.email}
    answer(document, as_json, f"{document['email']} can sign in now.")


@users.command("password")
@click.argument("email")
@json_option
def password(email: str, as_json: bool) -> None:
    """Set another password, from a prompt or stdin; ends that person's sessions."""
    chosen = _ask_password()
    with changing() as session:
        user = set_password(session, email, chosen)
        document = {"id": user.id, "email": user.email}
    answer(document, as_json, f"{document['email']} signs in with the new password from now on.")


def _ask_password() -> str:
    if sys.stdin.isatty():
        prompt = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return str(prompt)
    return sys.stdin.readline().rstrip("\r\n")

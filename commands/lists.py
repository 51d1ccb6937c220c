"""`flask --app app lists …`: lists of contacts made, filled from files and taken along."""

from __future__ import annotations

import threading

import click

from commands.audience import import_words, verify_and_answer
from commands.terminal import (
    Nouns,
    answer,
    changing,
    columns,
    existing_file,
    export_rows,
    interruptible,
    json_option,
    now,
    person,
    progress_bar,
    reading,
    refuse,
    sessions,
)
from services import contact_export, exports, list_imports
from services import lists as service
from services.verified_people import ListPeople

list_argument = click.argument("list_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))


@click.group("lists", cls=Nouns)
def lists() -> None:
    """Lists of contacts, from which campaigns take their recipients."""


@lists.command("create")
@click.argument("name")
@click.option("--description", default="", help="For you and your colleagues.")
@json_option
def create(name: str, description: str, as_json: bool) -> None:
    """Make a list without anybody on it."""
    with changing() as session:
        made = service.create_list(session, name, description, now(), person())
        document = {"id": made.id}
    answer(document, as_json, f"The list {document['id']} is made.")


@lists.command("list")
@json_option
def list_(as_json: bool) -> None:
    """All lists by name, with how many people get what is sent to them."""
    with reading() as session:
        found = [
            {"id": one.id, "name": one.name, "members": one.members,
             "description": one.description}
            for one in service.all_lists(session)
        ]  # fmt: skip
    rows = [[one["id"], one["name"], one["members"]] for one in found]
    words = columns(rows, ["id", "name", "members"]) if found else "There is no list yet."
    answer({"lists": found}, as_json, words)


@lists.command("import")
@list_argument
@click.argument("file")
@json_option
def import_(list_id: int, file: str, as_json: bool) -> None:
    """Add the people of a CSV, XLSX, XLS or ODS file; who unsubscribed from it stays so."""
    path = existing_file(file)
    stop = threading.Event()
    with progress_bar(f"Importing {path.name}") as progress, interruptible(stop):
        report = list_imports.import_file(
            sessions(), list_id, path, path.name,
            clock=now, by=person(), progress=progress, should_stop=stop.is_set,
        )  # fmt: skip
    document = report.as_json()
    answer(document, as_json, import_words(document))
    if report.stopped:
        refuse(f"Stopped: {document['added']:,} people were added before.")


@lists.command("verify")
@list_argument
@json_option
def verify(list_id: int, as_json: bool) -> None:
    """Check the address of everybody who is subscribed, and wait for the result."""
    verify_and_answer(ListPeople(list_id), as_json)


@lists.command("export")
@list_argument
@click.option("--format", "kind", type=click.Choice(sorted(exports.FORMATS)), default="csv")
@click.option("--output", metavar="FILE", help="Where to; without it to stdout.")
@json_option
def export(list_id: int, kind: str, output: str | None, as_json: bool) -> None:
    """Write every member with state, tags, times and fields."""
    with reading() as session:
        service.get_list(session, list_id)
    rows = contact_export.contact_rows(sessions(), list_id=list_id)
    export_rows(rows, {"id": list_id}, kind, output, as_json)

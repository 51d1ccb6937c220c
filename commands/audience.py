"""`flask --app app campaigns …`, the part about recipients: import, verify, test, export.

These do their work in this process; the web pages queue the same work for the scheduler.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import click

from aws.clients import AwsClients
from commands.campaigns import campaigns
from commands.terminal import (
    answer,
    campaign_argument,
    changing,
    columns,
    existing_file,
    export_rows,
    interruptible,
    json_option,
    now,
    person,
    progress_bar,
    refuse,
    sessions,
    settings,
)
from email_service import EmailService
from services import exports, recipients, test_mails, verification
from services.mail_domains import MxResolver
from services.verified_people import CampaignPeople, People

#: Refused rows shown to a person at the terminal.
_SHOWN_REFUSED = 20


@campaigns.command("import")
@campaign_argument
@click.argument("file")
@json_option
def import_(campaign_id: int, file: str, as_json: bool) -> None:
    """Add the recipients of a CSV, XLSX, XLS or ODS file to a draft."""
    path = existing_file(file)
    stop = threading.Event()
    with progress_bar(f"Importing {path.name}") as progress, interruptible(stop):
        report = recipients.import_file(
            sessions(), campaign_id, path, path.name,
            clock=now, by=person(), progress=progress, should_stop=stop.is_set,
        )  # fmt: skip
    document = report.as_json()
    answer(document, as_json, import_words(document))
    if report.stopped:
        refuse(f"Stopped: {document['added']:,} recipients were added before.")


@campaigns.command("verify")
@campaign_argument
@json_option
def verify(campaign_id: int, as_json: bool) -> None:
    """Check every address that is still to be sent to, and wait for the result."""
    verify_and_answer(CampaignPeople(campaign_id), as_json)


def verify_and_answer(people: People, as_json: bool) -> None:
    """Verify in this process and print how many got each verdict."""
    stop = threading.Event()
    with progress_bar("Verifying") as progress, interruptible(stop):
        report = verification.verify(
            sessions(), people,
            resolver=MxResolver(), clock=now, by=person(),
            progress=progress, should_stop=stop.is_set,
        )  # fmt: skip
    document = report.as_json()
    answer(document, as_json, columns([[name, count] for name, count in document.items()]))
    if report.stopped:
        refuse("Stopped before the end: the other addresses were not checked.")


@campaigns.command("test")
@campaign_argument
@click.argument("email")
@json_option
def test(campaign_id: int, email: str, as_json: bool) -> None:
    """Send the campaign's mail to one address, to look at; it never counts."""
    with changing() as session:
        mail = test_mails.create(session, campaign_id, email, by=person(), now=now())
        mail_id = mail.id
    clients = AwsClients(settings())
    with closing(clients), closing(clients.ses_calls()) as calls:
        service = EmailService(calls)
        sent = test_mails.run(sessions(), mail_id, settings=settings(), service=service)
    if sent.status == test_mails.FAILED:
        refuse(f"The test mail was not sent: {sent.detail}")
    document = {"id": campaign_id, "status": sent.status}
    answer(document, as_json, f"The test mail to {sent.email} is {sent.status.replace('_', ' ')}.")


@campaigns.command("export")
@campaign_argument
@click.option("--format", "kind", type=click.Choice(sorted(exports.FORMATS)), default="csv")
@click.option("--output", metavar="FILE", help="Where to; without it to stdout.")
@json_option
def export(campaign_id: int, kind: str, output: str | None, as_json: bool) -> None:
    """Write every recipient with its state, times and variables."""
    export_rows(
        exports.recipient_rows(sessions(), campaign_id), {"id": campaign_id}, kind, output, as_json
    )


def import_words(document: dict[str, Any]) -> str:
    """What an import made of the rows, for a person at the terminal."""
    names = ("rows", "added", "duplicates", "suppressed")
    rows: list[list[object]] = [[name, document[name]] for name in names]
    rows.append(["refused", document["refused_total"]])
    lines = [columns(rows)]
    if document["columns"]:
        variables = ", ".join(f"{{{{ {name} }}}}" for name in document["columns"])
        lines.append(f"Variables: {variables}")
    shown = document["refused"][:_SHOWN_REFUSED]
    if shown:
        table = [[line["line"], line["value"], line["reason"]] for line in shown]
        lines += ["", columns(table, ["line", "refused", "why"])]
    if document["refused_total"] > len(shown):
        lines.append(f"... and {document['refused_total'] - len(shown):,} more; --json shows them.")
    return "\n".join(lines)

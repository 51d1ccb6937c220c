"""`flask --app app suppressions …`: addresses that get nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import Any

import click

from aws.clients import AwsClients
from aws.suppression_calls import SECONDS_APART, AccountList
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
    settings,
)
from domain.addresses import AddressProblem
from domain.statuses import SuppressionReason
from domain.suppression_files import entry_of
from domain.suppression_patterns import Pattern
from models import Suppression
from services import account_list, exports, suppression_imports
from services import suppression as service

_PAGE = 500
#: Refused rows shown to a person at the terminal.
_SHOWN_REFUSED = 20
_DEEDS = {
    account_list.PULL: "{:,} addresses that only SES has are added to this list.",
    account_list.PUSH: "SES is told of {:,} addresses; it takes one a second.",
}


@click.group("suppressions", cls=Nouns)
def suppressions() -> None:
    """Addresses that get nothing, whatever list they are on."""


@suppressions.command("list")
@click.option("--search", default="", help="The start of an address, or @domain.")
@click.option(
    "--reason", type=click.Choice([reason.value for reason in SuppressionReason]), default=None
)
@click.option("--limit", type=int, default=0, help="At most so many, newest first; 0 = all.")
@json_option
def list_(search: str, reason: str | None, limit: int, as_json: bool) -> None:
    """List suppressed addresses, newest first."""
    found: list[dict[str, Any]] = []
    before = None
    with reading() as session:
        while not limit or len(found) < limit:
            page = service.search(
                session,
                search.strip().lower(),
                reason=SuppressionReason(reason) if reason else None,
                before=before,
                limit=min(_PAGE, limit - len(found)) if limit else _PAGE,
            )
            session.rollback()  # a page is one short transaction
            found += [_entry(row) for row in page.rows]
            before = page.next_before
            if before is None:
                break
    heads = ["address", "reason", "since", "source"]
    rows = [[row["address"], row["reason"], row["created_at"], row["source"]] for row in found]
    words = columns(rows, heads) if found else "No suppressed address matches."
    answer({"suppressions": found}, as_json, words)


@suppressions.command("add")
@click.argument("entry")
@click.option("--note", default=None, help="Why, for others to read.")
@json_option
def add(entry: str, note: str | None, as_json: bool) -> None:
    """Never send to ENTRY again: an address, example.com, *.example.com or sales@*."""
    found = entry_of(entry.strip())
    if isinstance(found, AddressProblem):
        refuse(f"{entry}: {found}")
    source, reason = f"Added by {person()}.", SuppressionReason.MANUAL
    with changing() as session:
        if isinstance(found, Pattern):
            name = found.text
            added = service.suppress_pattern(session, found, reason, source, now(), note)
        else:
            name = found.email
            added = service.suppress(session, name, reason, source, None, now(), note)
    words = f"{name} gets nothing any more." if added else f"{name} was suppressed already."
    answer({"address": name, "added": added}, as_json, words)


@suppressions.command("remove")
@click.argument("entry")
@json_option
def remove(entry: str, as_json: bool) -> None:
    """Allow sending to ENTRY again: an address, a domain or a wildcard as it was added."""
    with changing() as session:
        if not service.unsuppress(session, entry):
            refuse(f"{entry} is not on the suppression list.")
    answer({"address": entry, "removed": True}, as_json, f"{entry} may get mail again.")


@suppressions.command("import")
@click.argument("file")
@click.option("--dry-run", "dry", is_flag=True, help="Say what would be added, and add nothing.")
@json_option
def import_(file: str, dry: bool, as_json: bool) -> None:
    """Add the addresses, domains and wildcards of a CSV, XLSX, XLS or ODS file."""
    path = existing_file(file)
    stop = threading.Event()
    with progress_bar(f"Reading {path.name}") as progress, interruptible(stop):
        report = suppression_imports.import_file(
            sessions(), path, path.name, dry=dry,
            clock=now, by=person(), progress=progress, should_stop=stop.is_set,
        )  # fmt: skip
    counts = report.counts
    figures = {
        "rows": counts.rows,
        "added": counts.added,
        "domains": counts.suppressed,
        "duplicates": counts.duplicates,
        "refused_total": counts.refused_total,
    }
    lines = [columns([[name.replace("_total", ""), figure] for name, figure in figures.items()])]
    shown = [[line.line, line.value, line.reason] for line in report.refused[:_SHOWN_REFUSED]]
    if shown:
        lines += ["", columns(shown, ["line", "refused", "why"])]
    if dry:
        lines += ["", "Nothing was added: this was a dry run."]
    refused = [asdict(line) for line in report.refused]
    answer({**figures, "refused": refused, "dry_run": dry}, as_json, "\n".join(lines))
    if report.stopped:
        refuse("Stopped before the end of the file: what was added stays.")


@suppressions.command("export")
@click.option("--format", "kind", type=click.Choice(sorted(exports.FORMATS)), default="csv")
@click.option("--output", metavar="FILE", help="Where to; without it to stdout.")
@json_option
def export(kind: str, output: str | None, as_json: bool) -> None:
    """Write the list; the file can be imported as it is."""
    export_rows(exports.suppression_rows(sessions()), {}, kind, output, as_json)


@suppressions.command("compare")
@click.option(
    "--apply", "deed", type=click.Choice([account_list.PULL, account_list.PUSH]), default=None,
    help="pull: add here what only SES has; push: tell SES of bounces and complaints.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
def compare(deed: str | None, yes: bool, as_json: bool) -> None:
    """Compare with the suppression list of the SES account, and bring one side in line."""
    apart = 0.0 if settings().uses_simulator else SECONDS_APART
    stop = threading.Event()
    with closing(AwsClients(settings())) as clients, interruptible(stop):
        account = AccountList(clients.ses, seconds_apart=apart)
        with progress_bar("Reading the account's list") as progress:
            found = _deed(account_list.READ, account, progress, stop)
        amount = found[f"would_{deed}"] if deed else 0
        if deed and amount:
            click.echo(_DEEDS[deed].format(amount), err=True)
            if not yes and not click.confirm("Do this?", err=True):
                refuse("Nothing was changed.")
            with progress_bar("Working") as progress:
                found = _deed(deed, account, progress, stop)
    document = {name: found[name] for name in found if not name.startswith("first_")}
    answer(document, as_json, _comparison(document))
    if stop.is_set():
        refuse("Stopped before the end: what was done stays.")


def _deed(
    deed: str, account: AccountList, progress: Callable[..., None], stop: threading.Event
) -> dict[str, Any]:
    return account_list.do_here(
        sessions(), deed, account,
        clock=now, by=person(), progress=progress, should_stop=stop.is_set,
    )  # fmt: skip


def _comparison(found: dict[str, Any]) -> str:
    rows: list[list[object]] = [
        ["on SES's list", found["there"]],
        ["on this list", found["here"]],
        ["on both", found["both"]],
    ]
    rows += [[f"only on SES's, {name}", count] for name, count in found["only_there"].items()]
    rows += [[f"only on this, {name}", count] for name, count in found["only_here"].items()]
    rows += [["pull would add here", found["would_pull"]]]
    rows += [["push would tell SES of", found["would_push"]]]
    rows += [[name, found[name]] for name in ("pulled", "pushed", "refused") if name in found]
    words = columns(rows)
    because = found.get("refused_because")
    return f"{words}\n\nSES refused some: {because}" if because else words


def _entry(row: Suppression) -> dict[str, Any]:
    return {
        "address": row.address,
        "reason": row.reason.value,
        "source": row.source,
        "note": row.note,
        "campaign_id": row.campaign_id,
        "created_at": row.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }

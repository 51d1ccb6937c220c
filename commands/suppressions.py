"""`flask --app app suppressions …`: addresses that get nothing."""

from __future__ import annotations

from typing import Any

import click

from commands.terminal import (
    Nouns,
    answer,
    changing,
    columns,
    json_option,
    now,
    person,
    reading,
    refuse,
)
from domain.addresses import AddressProblem, check_syntax
from domain.statuses import SuppressionReason
from models import Suppression
from services import suppression as service

_PAGE = 500


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
@click.argument("email")
@click.option("--note", default=None, help="Why, for others to read.")
@json_option
def add(email: str, note: str | None, as_json: bool) -> None:
    """Never send to this address again."""
    address = check_syntax(email.strip())
    if isinstance(address, AddressProblem):
        refuse(f"{email}: {address}")
    email = address.email
    with changing() as session:
        source = f"Added by {person()}."
        added = service.suppress(
            session, email, SuppressionReason.MANUAL, source, None, now(), note
        )
    words = f"{email} gets nothing any more." if added else f"{email} was suppressed already."
    answer({"address": email, "added": added}, as_json, words)


@suppressions.command("remove")
@click.argument("email")
@json_option
def remove(email: str, as_json: bool) -> None:
    """Allow sending to this address again."""
    with changing() as session:
        if not service.unsuppress(session, email):
            refuse(f"{email} is not on the suppression list.")
    answer({"address": email, "removed": True}, as_json, f"{email} may get mail again.")


def _entry(row: Suppression) -> dict[str, Any]:
    return {
        "address": row.address,
        "reason": row.reason.value,
        "source": row.source,
        "note": row.note,
        "campaign_id": row.campaign_id,
        "created_at": row.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }

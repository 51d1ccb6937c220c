"""Which row an event belongs to: by attempt, else by SES's message id, and only if the mail went
to the row's address.

So neither another installation in the same AWS account nor a database made anew can touch rows
that are not its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import Column, Row, Table, select
from sqlalchemy.orm import Session

from domain.addresses import address_key
from domain.ses_events import SesEvent
from models import PastAttempt, Recipient
from services.ledger import lock_rows

_ROWS = cast(Table, Recipient.__table__)
_PAST = cast(Table, PastAttempt.__table__)
_IDS_PER_QUERY = 500


class Belongs(StrEnum):
    """To what an event belongs."""

    ROW = "row"  # the newest attempt of a row
    PAST = "past"  # an older attempt of a row
    TEST = "test"  # a test mail of ours
    OTHER_INSTALLATION = "other_installation"
    OTHER_ADDRESS = "other_address"  # the mail was not for the row's address
    NOTHING = "nothing"  # no such mail is known (yet)


@dataclass(frozen=True, slots=True)
class Match:
    """Where an event belongs; `row` is locked and has the ledger's columns."""

    belongs: Belongs
    row: Row[Any] | None = None
    attempt_id: str | None = None
    past: Row[Any] | None = None


def match_events(
    session: Session, events: Sequence[SesEvent], install: str
) -> tuple[list[Match], dict[int, Row[Any]]]:
    """A match for each event, and every row that was locked on the way (in id order)."""
    named = {
        event.tags.recipient_id
        for event in events
        if event.tags.install == install and event.tags.recipient_id is not None
    }
    untagged = {event.message_id for event in events if event.tags.install is None}
    by_message = _ids_by_message(session, untagged)
    past = _past_attempts(session, _PAST.c.message_id, untagged)
    ids = named | set(by_message.values()) | {row.recipient_id for row in past.values()}
    rows = lock_rows(session, ids)
    past |= _past_attempts(session, _PAST.c.attempt_id, _replaced(events, install, rows))
    return [_match(event, install, rows, by_message, past) for event in events], rows


def _match(
    event: SesEvent,
    install: str,
    rows: dict[int, Row[Any]],
    by_message: dict[str, int],
    past: dict[str, Row[Any]],
) -> Match:
    tags = event.tags
    if tags.install is not None and tags.install != install:
        return Match(Belongs.OTHER_INSTALLATION)
    if tags.install is not None and tags.test_attempt_id:
        return Match(Belongs.TEST, attempt_id=tags.test_attempt_id)
    if tags.install is not None:
        attempt = tags.attempt_id
        row = rows.get(tags.recipient_id or 0)
        older = past.get(attempt or "")
    else:
        row = rows.get(by_message.get(event.message_id, 0))
        attempt = row.attempt_id if row and row.message_id == event.message_id else None
        older = past.get(event.message_id)
    if row is not None and attempt is not None and row.attempt_id == attempt:
        return _checked(event, Match(Belongs.ROW, row, attempt))
    if older is not None and (row := rows.get(older.recipient_id)) is not None:
        return _checked(event, Match(Belongs.PAST, row, older.attempt_id, older))
    return Match(Belongs.NOTHING)


def _checked(event: SesEvent, match: Match) -> Match:
    """The match, if the mail went to the row's address, compared as addresses."""
    row = match.row
    if row is None or row.address not in event.destinations:
        return Match(Belongs.OTHER_ADDRESS)
    # Several people got this mail: the event must name ours, not one of the others.
    if len(event.destinations) > 1 and address_key(event.address or "") != row.address:
        return Match(Belongs.OTHER_ADDRESS)
    return match


def _ids_by_message(session: Session, message_ids: Iterable[str]) -> dict[str, int]:
    """Recipient ids by SES message id."""
    found: dict[str, int] = {}
    for some in _chunks(message_ids):
        query = select(_ROWS.c.message_id, _ROWS.c.id).where(_ROWS.c.message_id.in_(some))
        found.update((row.message_id, row.id) for row in session.execute(query))
    return found


def _replaced(events: Sequence[SesEvent], install: str, rows: dict[int, Row[Any]]) -> set[str]:
    """Attempts that our mails' tags name and that are not the newest of their row."""
    replaced = set()
    for tags in (event.tags for event in events if event.tags.install == install):
        row = rows.get(tags.recipient_id or 0)
        if tags.attempt_id and row is not None and row.attempt_id != tags.attempt_id:
            replaced.add(tags.attempt_id)
    return replaced


def _past_attempts(
    session: Session, column: Column[Any], values: Iterable[str]
) -> dict[str, Row[Any]]:
    """Replaced attempts by the given column: attempt id or message id."""
    found: dict[str, Row[Any]] = {}
    for some in _chunks(values):
        for row in session.execute(select(_PAST).where(column.in_(some))):
            found[getattr(row, column.name)] = row
    return found


def _chunks(values: Iterable[str]) -> Iterable[list[str]]:
    """Lists short enough for SQLite's limit of bound variables; sorted for equal statements."""
    ordered = sorted(values)
    for start in range(0, len(ordered), _IDS_PER_QUERY):
        yield ordered[start : start + _IDS_PER_QUERY]

"""From an event to the state of a row: store once, find the row, apply, in one transaction.

Both doors end here. An event counts when its row in `events` is new; whatever was stored before
is a duplicate. The caller commits and only then acknowledges the message.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table, bindparam, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from database import is_sqlite
from domain.event_raw import pack, unpack, without_repeats
from domain.ses_events import CRITICAL_KINDS, EventKind, SesEvent, load_text, parse_text
from domain.ses_tags import OurTags
from domain.statuses import EventStatus
from models import Event
from services.event_backlog import WAITING
from services.event_effects import Matched, apply_matched
from services.event_matching import Belongs, Match, match_events
from services.installation import installation_id
from services.row_updates import given_rows

_EVENTS = cast(Table, Event.__table__)
_KNOWN_KINDS = frozenset(kind.value for kind in EventKind)
_ORDINARY_KINDS = _KNOWN_KINDS - {kind.value for kind in CRITICAL_KINDS}
_KEYS_PER_QUERY = 500
_OF_WAITING = ("key", "raw", "status", "recipient_id", "campaign_id", "attempt_id")
_COLUMNS = tuple(column.name for column in _EVENTS.columns)
_INSERT_SQLITE = sqlite.insert(_EVENTS).on_conflict_do_nothing().returning(_EVENTS.c.key)
_INSERT_POSTGRESQL = (
    postgresql.insert(_EVENTS)
    .from_select(_COLUMNS, select(given_rows({c.name: c.type for c in _EVENTS.columns})))
    .on_conflict_do_nothing()
    .returning(_EVENTS.c.key)
)
#: Literally "parked", for the small index of such events.
_PARKED_SQLITE = text(
    "SELECT key FROM events WHERE status = 'parked'"
    " AND message_id IN (SELECT value FROM json_each(:ids))"
)
_PARKED_POSTGRESQL = text(
    "SELECT key FROM events WHERE status = 'parked' AND message_id = ANY(CAST(:ids AS text[]))"
)

_VERDICTS = {
    Belongs.PAST: "An older attempt of this recipient.",
    Belongs.TEST: "A test mail.",
    Belongs.OTHER_INSTALLATION: "Sent by another installation.",
    Belongs.OTHER_ADDRESS: "The mail was not for this recipient's address.",
    Belongs.NOTHING: "No mail of ours has this id yet.",
}
_STATUS_OF = {
    Belongs.ROW: EventStatus.APPLIED,
    Belongs.PAST: EventStatus.APPLIED,
    Belongs.NOTHING: EventStatus.PARKED,
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message with SES events: packed as it came, what it says, and through which door."""

    raw: bytes
    events: tuple[SesEvent, ...]
    door: str  # "http" or "sqs"
    at_once: bool = True  # otherwise stored in one cheap insert and applied by the scheduler
    text: str = ""  # as it came, for where nothing but a letter is possible

    @classmethod
    def of(
        cls,
        text: str,
        events: Sequence[SesEvent],
        door: str,
        *,
        at_once: bool = True,
        payload: Any = None,
    ) -> Incoming:
        """A message whose text is packed here, before any lock is held.

        `payload` is the JSON in the text, if the caller has read it already.
        """
        short = text
        if all(event.kind in _ORDINARY_KINDS for event in events):
            with suppress(RecursionError):  # nested too deeply to be written: kept as it came
                short = without_repeats(payload or load_text(text))
        return cls(pack(short), tuple(events), door, at_once, text)


@dataclass(frozen=True, slots=True)
class Stored:
    """How many events of a batch were new, and how many were known already."""

    new: int
    duplicates: int


def store(session: Session, incoming: Sequence[Incoming], now: datetime) -> Stored:
    """Store the events of many messages once, and apply those that are new and to be applied."""
    first: dict[bytes, tuple[SesEvent, Incoming]] = {}
    total = 0
    for message in incoming:
        total += len(message.events)
        for event in message.events:
            first.setdefault(event.key, (event, message))
    if not first:
        return Stored(0, 0)
    install = installation_id(session)
    ordered = [first[key] for key in sorted(first)]
    at_once = [event for event, message in ordered if message.at_once]
    matches, rows = match_events(session, at_once, install)
    match_of = {event.key: match for event, match in zip(at_once, matches, strict=True)}
    values = [
        _values(event, message, match_of.get(event.key), install, now) for event, message in ordered
    ]
    new = _insert(session, values)
    matched = [
        Matched(event, match)
        for event, match in zip(at_once, matches, strict=True)
        if event.key in new
    ]
    apply_matched(session, matched, rows, now)
    return Stored(len(new), total - len(new))


def store_dead(session: Session, message: Incoming, reason: str, now: datetime) -> None:
    """Keep a message whose events could not be applied, for a person to try again."""
    install = installation_id(session)
    dead = {"status": EventStatus.DEAD, "verdict": reason, "tries": 1}
    _insert(
        session,
        [{**_values(event, message, None, install, now), **dead} for event in message.events],
    )


def apply_stored(session: Session, keys: Iterable[bytes], now: datetime) -> int:
    """Apply events that are stored but wait (new, parked or dead); how many left their state.

    Events that another worker holds are left to it. An event that finds no row stays parked.
    """
    wanted = sorted(keys)
    waiting = (EventStatus.NEW, EventStatus.PARKED, EventStatus.DEAD)
    stored: list[Any] = []
    for start in range(0, len(wanted), _KEYS_PER_QUERY):
        query = (
            select(*(_EVENTS.c[name] for name in _OF_WAITING))
            .where(_EVENTS.c.key.in_(wanted[start : start + _KEYS_PER_QUERY]))
            .where(_EVENTS.c.status.in_(waiting))
            .order_by(_EVENTS.c.key)
            .with_for_update(skip_locked=True)
        )
        stored += session.execute(query).all()
    install = installation_id(session)
    events = [
        (row, _with_tags(row, event, install))
        for row in stored
        if (event := event_of(row.key, row.raw)) is not None
    ]
    readable = {row.key for row, _ in events}
    _bury(session, [row.key for row in stored if row.key not in readable])
    matches, rows = match_events(session, [event for _, event in events], install)
    updates, matched = [], []
    for (row, event), match in zip(events, matches, strict=True):
        outcome = _outcome(event, match, install)
        updates.append({"b_key": row.key, **outcome})
        if outcome["status"] is not row.status:
            matched.append(Matched(event, match))
    _update(session, updates)
    apply_matched(session, matched, rows, now)
    return len(matched)


def apply_parked(session: Session, message_ids: Iterable[str], now: datetime) -> int:
    """Apply events that came before the send they belong to was recorded; how many.

    For the transaction that records sends; its rows are locked already. Only events without
    our tags ever wait: the others find their row by the attempt, committed before the call.
    """
    ids = sorted(set(message_ids))
    if is_sqlite(session):
        found = session.connection().execute(_PARKED_SQLITE, {"ids": json.dumps(ids)})
    else:
        found = session.connection().execute(_PARKED_POSTGRESQL, {"ids": ids})
    keys = list(found.scalars())
    return apply_stored(session, keys, now) if keys else 0


def event_of(key: bytes, raw: bytes | None) -> SesEvent | None:
    """The event with this key in a stored raw message; None if the raw form was purged."""
    try:
        parsed = parse_text(unpack(raw)) if raw is not None else None
    except ValueError:
        return None
    if not isinstance(parsed, list):
        return None
    if len(parsed) == 1:  # also one whose person was erased, so that its key tells another name
        return parsed[0]
    return next((event for event in parsed if event.key == key), None)


def _with_tags(row: Row[Any], event: SesEvent, install: str) -> SesEvent:
    """The event with the tags that were not stored with it, because its columns say the same.

    Of what still waits only events with our tags name a recipient.
    """
    if event.tags.install is not None or row.recipient_id is None:
        return event
    tags = OurTags(install, row.campaign_id, row.recipient_id, row.attempt_id)
    return replace(event, tags=tags)


def count_unapplied(session: Session) -> int:
    """Events that are stored and not applied yet (parked and dead ones wait for something)."""
    query = (
        select(func.count())
        .select_from(_EVENTS)
        .where(WAITING, _EVENTS.c.status == EventStatus.NEW)
    )
    return session.scalar(query) or 0


def _values(
    event: SesEvent, message: Incoming, match: Match | None, install: str, now: datetime
) -> dict[str, Any]:
    """The row of an event."""
    return {
        "key": event.key,
        "kind": event.kind,
        "sub_kind": event.sub_kind,
        "door": message.door,
        "happened_at": event.happened_at,
        "received_at": now,
        "raw": message.raw,
        "tries": 0,
        **_outcome(event, match, install),
    }


def _outcome(event: SesEvent, match: Match | None, install: str) -> dict[str, Any]:
    """What the match means for the stored event; no match = not looked for yet."""
    recipient_id = campaign_id = attempt_id = None
    if event.tags.install == install:
        recipient_id, campaign_id = event.tags.recipient_id, event.tags.campaign_id
        attempt_id = (event.tags.attempt_id or "")[:32] or None
    if match is None:
        status, verdict = EventStatus.NEW, None
    else:
        status = _STATUS_OF.get(match.belongs, EventStatus.IGNORED)
        verdict = _VERDICTS.get(match.belongs)
        if match.belongs is Belongs.ROW and event.kind not in _KNOWN_KINDS:
            verdict = "A type of event that this version does not know."
        if match.row is not None:
            recipient_id, campaign_id = match.row.id, match.row.campaign_id
        if match.belongs in (Belongs.OTHER_ADDRESS, Belongs.OTHER_INSTALLATION):
            recipient_id = campaign_id = None
        # The row's present attempt need not be repeated by each of its events.
        attempt_id = None if match.belongs is Belongs.ROW else match.attempt_id or attempt_id
    return {
        "status": status,
        "verdict": verdict,
        "recipient_id": recipient_id,
        "campaign_id": campaign_id,
        "attempt_id": attempt_id,
        # A row that knows its mail's id need not have it repeated by each of its events.
        "message_id": None if match is not None and match.row is not None else event.message_id,
    }


def _insert(session: Session, values: list[dict[str, Any]]) -> set[bytes]:
    """Insert rows whose key is new, in key order; the keys that were."""
    if not values:
        return set()
    if is_sqlite(session):
        return set(session.execute(_INSERT_SQLITE, values).scalars())
    # One array for each column: the statement stays the same, so that it is prepared once.
    arrays = {name: [row[name] for row in values] for name in _COLUMNS}
    return set(session.execute(_INSERT_POSTGRESQL, arrays).scalars())


def _bury(session: Session, keys: Sequence[bytes]) -> None:
    """Events whose raw form cannot be read any more: nothing will ever apply them."""
    dead = {"status": EventStatus.DEAD, "verdict": "The stored message cannot be read."}
    _update(session, [{"b_key": key, **dead} for key in keys])


def _update(session: Session, updates: list[dict[str, Any]]) -> None:
    if not updates:
        return
    names = [name for name in updates[0] if name != "b_key"]
    statement = (
        update(_EVENTS)
        .where(_EVENTS.c.key == bindparam("b_key"))
        .values({name: bindparam(name) for name in names})
    )
    session.connection().execute(statement, updates)

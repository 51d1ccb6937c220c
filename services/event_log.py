"""The notification log: stored events newest first, found by address or message id, and opened.

Reading only. What an event did to a row was decided when it was applied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Subquery, and_, func, or_, select, true
from sqlalchemy.orm import Session, defer

from domain.addresses import address_key
from domain.event_raw import unpack
from domain.ses_events import SesEvent
from domain.statuses import EventStatus
from models import Campaign, DeadLetter, Event, Recipient
from services.delivery_events import event_of
from services.event_backlog import WAITING

PAGE_SIZE = 50
#: Characters of a message that its list shows; one may have a million.
LETTER_SHOWN = 4000
#: Events that one page looks through for a filter that no index answers.
LOOK_AT = 20_000
_WAITING_STATUSES = (EventStatus.NEW, EventStatus.PARKED, EventStatus.DEAD)
#: Beyond this the number of a day's events is said as "more than".
_COUNT_UP_TO = 100_000
_SEARCHED_ROWS = 500


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One stored event with the names a person knows it by."""

    event: Event
    address: str | None
    campaign: str | None

    @property
    def key(self) -> str:
        """The event's key as it stands in addresses of pages."""
        return self.event.key.hex()


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What the log shows; None and "" stand for all. `text` is a whole address or a message id."""

    status: EventStatus | None = None
    kind: str | None = None
    campaign_id: int | None = None
    door: str | None = None
    text: str = ""

    @property
    def looks_through(self) -> bool:
        """Whether it holds for events that no index finds: they are looked through in steps."""
        by_index = self.status in _WAITING_STATUSES or bool(self.text.strip())
        return not by_index and any((self.status, self.kind, self.campaign_id, self.door))

    def conditions(self, event: Any) -> list[Any]:
        """The filter over the columns of events, its text aside."""
        wanted = {
            "status": self.status,
            "kind": self.kind,
            "campaign_id": self.campaign_id,
            "door": self.door,
        }
        found = [getattr(event, name) == value for name, value in wanted.items() if value]
        return [*found, WAITING] if self.status in _WAITING_STATUSES else found


@dataclass(frozen=True, slots=True)
class LogPage:
    """A page of the log; `before` asks for the next one, None = the end.

    `looked_back_to` is set where only so many events were looked through, up to then.
    """

    entries: Sequence[LogEntry]
    before: str | None
    looked_back_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An event with what it says: the parsed form and the raw JSON, None once purged."""

    entry: LogEntry
    parsed: SesEvent | None
    raw: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What the head of the log says. `more` = there are more than `lately` in 24 hours."""

    last: Event | None
    lately: int
    more: bool
    waiting: int
    parked: int
    dead: int


def log_page(
    session: Session, wanted: LogFilter, *, before: str | None = None, limit: int = PAGE_SIZE
) -> LogPage:
    """A page, newest first."""
    query = select(Event, Recipient.email, Campaign.name).outerjoin(
        Recipient, Recipient.id == Event.recipient_id
    )
    query = query.outerjoin(Campaign, Campaign.id == Event.campaign_id)
    if wanted.looks_through:
        window = _window(before)
        keys = select(window.c.key).where(*wanted.conditions(window.c))
        keys = keys.order_by(window.c.received_at.desc(), window.c.key.desc()).limit(limit + 1)
        query = query.where(Event.key.in_(session.scalars(keys).all()))
    else:
        query = query.where(*wanted.conditions(Event), _older_than(before))
    if wanted.text.strip():
        query = query.where(_found(session, wanted.text.strip()))
    query = query.order_by(Event.received_at.desc(), Event.key.desc()).limit(limit + 1)
    entries = [LogEntry(event, email or _address(event), name)
               for event, email, name in session.execute(query)]  # fmt: skip
    more, entries = len(entries) > limit, entries[:limit]
    if more or not wanted.looks_through:
        return LogPage(entries, _cursor(entries[-1].event) if more else None)
    edge = select(Event).where(_older_than(before)).offset(LOOK_AT - 1).limit(1)
    edge = edge.order_by(Event.received_at.desc(), Event.key.desc())
    last = session.scalars(edge.options(defer(Event.raw))).first()
    if last is None:
        return LogPage(entries, None)
    return LogPage(entries, _cursor(last), last.received_at)


def _window(before: str | None) -> Subquery:
    """The next events that are looked through: few enough for a page to be there at once."""
    columns = (Event.key, Event.received_at, Event.kind, Event.status)
    query = select(*columns, Event.campaign_id, Event.door).where(_older_than(before))
    query = query.order_by(Event.received_at.desc(), Event.key.desc())
    return query.limit(LOOK_AT).subquery()


def open_event(session: Session, key: str) -> Opened | None:
    """One event with everything that is known of it; None for a key that is none."""
    try:
        event = session.get(Event, bytes.fromhex(key))
    except ValueError:
        return None
    if event is None:
        return None
    recipient = session.get(Recipient, event.recipient_id) if event.recipient_id else None
    campaign = session.get(Campaign, event.campaign_id) if event.campaign_id else None
    address = recipient.email if recipient else _address(event)
    entry = LogEntry(event, address, campaign.name if campaign else None)
    return Opened(entry, event_of(event.key, event.raw), _pretty(event))


def figures(session: Session, now: datetime) -> Figures:
    """How lively the path is, and what waits for a person."""
    newest = select(Event).order_by(Event.received_at.desc()).limit(1)
    lately = (
        select(Event.received_at)
        .where(Event.received_at >= now - timedelta(hours=24))
        .limit(_COUNT_UP_TO + 1)
        .subquery()
    )
    number = session.scalar(select(func.count()).select_from(lately)) or 0
    letters = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
    return Figures(
        last=session.scalars(newest).first(),
        lately=min(number, _COUNT_UP_TO),
        more=number > _COUNT_UP_TO,
        waiting=_count(session, EventStatus.NEW),
        parked=_count(session, EventStatus.PARKED),
        dead=_count(session, EventStatus.DEAD) + letters,
    )


def dead_events(session: Session, limit: int = 200) -> list[Event]:
    """Events whose application raised an error, newest first."""
    query = select(Event).where(WAITING, Event.status == EventStatus.DEAD).options(defer(Event.raw))
    return list(session.scalars(query.order_by(Event.received_at.desc()).limit(limit)))


def dead_letters(session: Session, limit: int = 200) -> Sequence[Row[Any]]:
    """Messages that could not be stored as events, newest first; of each body the beginning."""
    letter = DeadLetter
    begin = func.substr(letter.body, 1, LETTER_SHOWN + 1).label("body")
    query = select(letter.id, letter.door, letter.reason, letter.received_at, letter.tries, begin)
    return session.execute(query.order_by(letter.id.desc()).limit(limit)).all()


def _count(session: Session, status: EventStatus) -> int:
    return session.scalar(select(func.count()).where(WAITING, Event.status == status)) or 0


def _found(session: Session, text: str) -> ColumnElement[bool]:
    """By indexes only: rows of the address or message id, and parked events of the id.

    Looked up before, since PostgreSQL would read all events for a condition with OR over them.
    """
    parked: list[bytes] = []
    if "@" in text:
        # One look into each campaign's index of addresses: no index has the address alone.
        rows = (
            select(Recipient.id)
            .select_from(Campaign)
            .join(Recipient, Recipient.campaign_id == Campaign.id)
            .where(Recipient.address == address_key(text))
        )
    else:
        rows = select(Recipient.id).where(
            Recipient.message_id == text, Recipient.message_id.is_not(None)
        )
        keys = select(Event.key).where(Event.status == EventStatus.PARKED, Event.message_id == text)
        parked = list(session.scalars(keys.limit(_SEARCHED_ROWS)))
    ids = list(session.scalars(rows.limit(_SEARCHED_ROWS)))
    return (
        or_(Event.recipient_id.in_(ids), Event.key.in_(parked))
        if parked
        else (Event.recipient_id.in_(ids))
    )


def _cursor(event: Event) -> str:
    return f"{event.received_at.timestamp()!r}.{event.key.hex()}"


def _older_than(cursor: str | None) -> ColumnElement[bool]:
    if not cursor:
        return true()
    try:
        moment, _, key = cursor.rpartition(".")
        at, edge = datetime.fromtimestamp(float(moment), UTC), bytes.fromhex(key)
    except (ValueError, OverflowError, OSError):
        return true()
    return and_(Event.received_at <= at, or_(Event.received_at < at, Event.key < edge))


def _address(event: Event) -> str | None:
    """Whom an event without a row names, as far as its raw form is still there."""
    parsed = event_of(event.key, event.raw)
    if parsed is None:
        return None
    return parsed.address or (parsed.destinations[0] if parsed.destinations else None)


def _pretty(event: Event) -> str | None:
    if event.raw is None:
        return None
    try:
        text = unpack(event.raw)
        value: Any = json.loads(text)
    except ValueError:
        return None
    return json.dumps(value, indent=2, ensure_ascii=False)

"""Stored events that wait: which are next, which may have found their row, which are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import Table, select, text, update
from sqlalchemy.orm import Session

from domain.ses_events import CRITICAL_KINDS
from domain.statuses import EventStatus
from models import Event, Recipient
from services.installation import get_value, set_value

#: A send is recorded within seconds; what found no row in this time belongs to nobody here.
PARKED_HOURS = 24
#: Only events this young are matched again all the time; older ones when their send is recorded.
_REMATCH_MINUTES = 15
#: Written as in the index of waiting events: without it SQLite would look through all of them.
WAITING = text("events.status IN ('new', 'parked', 'dead')")
_EVENTS = cast(Table, Event.__table__)
_ROWS = cast(Table, Recipient.__table__)


def waiting_keys(session: Session, limit: int) -> list[bytes]:
    """Events that are stored and not applied, oldest first."""
    query = (
        select(_EVENTS.c.key)
        .where(WAITING, _EVENTS.c.status == EventStatus.NEW)
        .order_by(_EVENTS.c.received_at)
        .limit(limit)
    )
    return list(session.scalars(query))


def matchable_parked(session: Session, now: datetime, limit: int) -> list[bytes]:
    """Young parked events whose message id a row has meanwhile."""
    query = (
        select(_EVENTS.c.key)
        .join(_ROWS, _ROWS.c.message_id == _EVENTS.c.message_id)
        .where(
            WAITING,
            _EVENTS.c.status == EventStatus.PARKED,
            _EVENTS.c.received_at >= now - timedelta(minutes=_REMATCH_MINUTES),
        )
        .limit(limit)
    )
    return list(session.scalars(query))


def expire_parked(session: Session, now: datetime, limit: int) -> int:
    """Give up on events that found no row in a day; how many."""
    over = (
        select(_EVENTS.c.key)
        .where(
            WAITING,
            _EVENTS.c.status == EventStatus.PARKED,
            _EVENTS.c.received_at < now - timedelta(hours=PARKED_HOURS),
        )
        .limit(limit)
    )
    keys = list(session.scalars(over))
    if keys:
        session.execute(
            update(_EVENTS)
            .where(_EVENTS.c.key.in_(keys))
            .values(status=EventStatus.EXPIRED, verdict="No mail of ours has this id.")
        )
    return len(keys)


def purge_raw(session: Session, now: datetime, days: int, limit: int, *, critical: bool) -> int:
    """Drop the raw form of events older than `days`; facts stay. How many.

    A mark remembers how far this went, so that events purged long ago are not read again.
    """
    mark = "critical_raw_purged_until" if critical else "raw_purged_until"
    begin = datetime.fromtimestamp(float(get_value(session, mark) or 0), UTC)
    end = now - timedelta(days=days)
    kinds = [str(kind) for kind in CRITICAL_KINDS]
    over = (
        select(_EVENTS.c.key)
        .where(
            _EVENTS.c.received_at >= begin,
            _EVENTS.c.received_at < end,
            _EVENTS.c.raw.is_not(None),
            _EVENTS.c.status.not_in((EventStatus.NEW, EventStatus.PARKED)),
            _EVENTS.c.kind.in_(kinds) if critical else _EVENTS.c.kind.not_in(kinds),
        )
        .order_by(_EVENTS.c.received_at)
        .limit(limit)
    )
    keys = list(session.scalars(over))
    if keys:
        session.execute(update(_EVENTS).where(_EVENTS.c.key.in_(keys)).values(raw=None))
    if len(keys) < limit and end > begin:
        set_value(session, mark, str(end.timestamp()))
    return len(keys)


def bury(session: Session, key: bytes, reason: str) -> None:
    """Applying this event raised an error: keep it for a person to try again."""
    session.execute(
        update(_EVENTS)
        .where(_EVENTS.c.key == key)
        .values(status=EventStatus.DEAD, verdict=reason, tries=_EVENTS.c.tries + 1)
    )

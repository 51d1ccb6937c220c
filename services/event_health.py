"""Whether events arrive as they should: the rate, the backlog with its age, and silence."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Float, Integer, Table, cast, func, select, type_coerce
from sqlalchemy.orm import Session

from database import is_sqlite
from domain.statuses import EventStatus
from models import Event, Recipient
from services.event_backlog import WAITING
from services.notices import clear_notice, raise_notice

SILENCE_NOTICE = "events-silent"
#: Mails accepted this long ago (minutes) should have brought an event; fewer mails prove nothing.
SILENT_MINUTES = 10
_LOOK_BACK_MINUTES = 60
_ENOUGH_MAILS = 20
_EVENTS = typing.cast(Table, Event.__table__)
_ROWS = typing.cast(Table, Recipient.__table__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events stored and not applied; `age_seconds` is the oldest one's, 0 when there is none."""

    waiting: int
    age_seconds: float


def backlog(session: Session, now: datetime) -> Backlog:
    """What the background applier still has before it."""
    count, oldest = session.execute(
        select(func.count(), func.min(_EVENTS.c.received_at)).where(
            WAITING, _EVENTS.c.status == EventStatus.NEW
        )
    ).one()
    return Backlog(count, (now - oldest).total_seconds() if oldest else 0.0)


def events_by_minute(session: Session, now: datetime, minutes: int = 60) -> list[int]:
    """Events received in each of the last minutes, oldest first."""
    begin = now - timedelta(minutes=minutes)
    seconds = type_coerce(_EVENTS.c.received_at, Float) - begin.timestamp()
    # A cast to integer cuts off in SQLite and rounds in PostgreSQL.
    minute = cast(seconds / 60.0 if is_sqlite(session) else func.floor(seconds / 60.0), Integer)
    counts = [0] * minutes
    query = select(minute, func.count()).where(_EVENTS.c.received_at >= begin).group_by(minute)
    for number, count in session.execute(query):
        counts[min(number, minutes - 1)] += count
    return counts


def watch_silence(session: Session, now: datetime) -> bool:
    """Raise or clear the alarm "N mails sent, no events for M minutes"; whether it is raised.

    Any event counts: set-ups without Send still bring the others.
    """
    recent = now - timedelta(minutes=_LOOK_BACK_MINUTES)
    settled = now - timedelta(minutes=SILENT_MINUTES)
    first = session.scalar(
        select(func.min(_ROWS.c.sent_at)).where(_ROWS.c.sent_at.between(recent, settled))
    )
    heard = first is not None and session.scalar(
        select(_EVENTS.c.key).where(_EVENTS.c.received_at >= first).limit(1)
    )
    if first is None or heard:
        clear_notice(session, SILENCE_NOTICE)
        return False
    mails = session.scalar(select(func.count()).where(_ROWS.c.sent_at >= first)) or 0
    if mails < _ENOUGH_MAILS:
        return False
    minutes = int((now - first).total_seconds() // 60)
    raise_notice(
        session,
        SILENCE_NOTICE,
        "warn",
        f"{mails:,} mails sent, no events for {minutes} minutes. Check that the configuration "
        "set publishes to the SNS topic, that the topic is subscribed to the queue or to this "
        "server, and that the scheduler runs. `python debug_email_flow.py` looks at each step.",
        now,
    )
    return True

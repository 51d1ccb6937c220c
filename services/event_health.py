"""Whether events arrive as they should: the rate, the backlog with its age, and silence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from domain.statuses import EventStatus
from models import Event, Notice, Recipient
from services.event_backlog import WAITING
from services.installation import get_value, set_value
from services.notices import clear_notice, raise_notice

SILENCE_NOTICE = "events-silent"
#: Mails accepted this long ago (minutes) should have brought an event; fewer mails prove nothing.
SILENT_MINUTES = 10
_LOOK_BACK_MINUTES = 60
_ENOUGH_MAILS = 20
#: So many events are looked at to find a Send among them.
_LOOK_AT = 5_000
_MINUTES_KEY = "events_by_minute"
_KEPT_MINUTES = 60
#: Events that a page counts at most when nobody counted them before.
_COUNT_UP_TO = 20_000
_EVENTS = cast(Table, Event.__table__)
_ROWS = cast(Table, Recipient.__table__)


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
    """Events received in each of the last clock minutes, oldest first; the last one still runs.

    Full minutes were counted when they were over (`count_full_minutes`). What is missing, as
    without a scheduler, is counted now, newest first, up to a bounded number of events.
    """
    newest = int(now.timestamp()) // 60
    known = _kept_minutes(session)
    counts = []
    left = _COUNT_UP_TO
    for minute in range(newest, newest - minutes, -1):
        count = known.get(minute)
        if count is None and left > 0:
            count = _count_minute(session, minute, left)
            left -= count
        counts.append(count or 0)
    return counts[::-1]


def count_full_minutes(session: Session, now: datetime) -> dict[int, int]:
    """Events of each full minute of the last hour by its number, those not counted yet as well."""
    newest = int(now.timestamp()) // 60
    known = _kept_minutes(session)
    return {
        minute: known[minute] if minute in known else _count_minute(session, minute, None)
        for minute in range(newest - _KEPT_MINUTES, newest)
    }


def keep_full_minutes(session: Session, counts: dict[int, int]) -> None:
    """Store what `count_full_minutes` found."""
    set_value(session, _MINUTES_KEY, json.dumps(counts))


def _kept_minutes(session: Session) -> dict[int, int]:
    kept = get_value(session, _MINUTES_KEY)
    return {int(minute): count for minute, count in json.loads(kept or "{}").items()}


def _count_minute(session: Session, minute: int, limit: int | None) -> int:
    received = _EVENTS.c.received_at
    inside = select(received).where(
        received >= datetime.fromtimestamp(60 * minute, UTC),
        received < datetime.fromtimestamp(60 * minute + 60, UTC),
    )
    some = inside.limit(limit).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def watch_silence(session: Session, now: datetime, *, sends_published: bool | None = None) -> bool:
    """Raise or clear the alarm "N mails sent, no Send events for M minutes"; whether it is raised.

    Where the set-up publishes no Send (`sends_published` False), or that is not known and none
    ever came, any event counts. The alarm stays after the last mail until an event is heard.
    """
    recent = now - timedelta(minutes=_LOOK_BACK_MINUTES)
    settled = now - timedelta(minutes=SILENT_MINUTES)
    first = session.scalar(
        select(func.min(_ROWS.c.sent_at)).where(_ROWS.c.sent_at.between(recent, settled))
    )
    raised = session.get(Notice, SILENCE_NOTICE)
    since = first or (raised.created_at if raised else None)
    if since is None:
        return False
    only_sends = _expects_sends(session) if sends_published is None else sends_published
    if _heard(session, since, only_sends=only_sends):
        clear_notice(session, SILENCE_NOTICE)
        return False
    if first is None:
        return True
    mails = session.scalar(select(func.count()).where(_ROWS.c.sent_at >= first)) or 0
    if mails < _ENOUGH_MAILS:
        return raised is not None
    minutes = int((now - first).total_seconds() // 60)
    what = "Send events" if only_sends else "events"
    raise_notice(
        session,
        SILENCE_NOTICE,
        "warn",
        f"{mails:,} mails sent, no {what} for {minutes} minutes. Check that the configuration "
        "set publishes to the SNS topic, that the topic is subscribed to the queue or to this "
        "server, and that the scheduler runs. `python debug_email_flow.py` looks at each step.",
        now,
    )
    return True


def _expects_sends(session: Session) -> bool:
    """Whether Send events are known to come: one was among the newest events before."""
    newest = select(_EVENTS.c.kind).order_by(_EVENTS.c.received_at.desc()).limit(_LOOK_AT)
    kinds = newest.subquery()
    found = session.scalar(select(kinds.c.kind).where(kinds.c.kind == "Send").limit(1))
    return found is not None


def _heard(session: Session, since: datetime, *, only_sends: bool) -> bool:
    """Whether an event (a Send event) came; it follows its mail within seconds."""
    events = (
        select(_EVENTS.c.kind)
        .where(_EVENTS.c.received_at >= since)
        .order_by(_EVENTS.c.received_at)
        .limit(_LOOK_AT if only_sends else 1)
        .subquery()
    )
    query = select(events.c.kind).limit(1)
    if only_sends:
        query = query.where(events.c.kind == "Send")
    return session.scalar(query) is not None

"""Deriving a campaign's states afresh: stored raw events over the ledger's send results.

Gives the identical state if nothing is wrong; mends what an error of ours derived falsely.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table, select
from sqlalchemy.orm import Session

from domain.ses_events import EventKind, SesEvent
from domain.statuses import EVENT_FACTS, EventStatus, Fact
from models import Event, Recipient
from services.delivery_events import event_of
from services.event_effects import (
    Matched,
    fact_change,
    judge_engagements,
    review_soft_bounces,
    suppress_for,
)
from services.event_matching import Belongs, Match
from services.ledger import FactChange, apply_changes, lock_rows

_EVENTS = cast(Table, Event.__table__)
_ROWS = cast(Table, Recipient.__table__)
#: Rows in one step: SQLite's writer lock is held for about 20 ms.
ROWS_PER_STEP = 50
#: What a send tells; an event only adds to it.
_FROM_EVENTS_ALONE = EVENT_FACTS & ~Fact.ACCEPTED


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One step: the last row's id (None = the end), rows looked at, rows whose state changed."""

    last_id: int | None
    rows: int
    changed: int


def has_purged_events(session: Session, campaign_id: int) -> bool:
    """Whether the raw form of any event of the campaign is gone."""
    query = (
        select(_EVENTS.c.key)
        .join(_ROWS, _ROWS.c.id == _EVENTS.c.recipient_id)
        .where(_ROWS.c.campaign_id == campaign_id, _EVENTS.c.raw.is_(None))
        .limit(1)
    )
    return session.scalar(query) is not None


def replay_step(
    session: Session, campaign_id: int, after_id: int, now: datetime, *, raise_only: bool
) -> ReplayStep:
    """Derive the next rows afresh; with `raise_only` nothing that is known is taken back."""
    ids = list(
        session.scalars(
            select(_ROWS.c.id)
            .where(_ROWS.c.campaign_id == campaign_id, _ROWS.c.id > after_id)
            .order_by(_ROWS.c.id)
            .limit(ROWS_PER_STEP)
        )
    )
    if not ids:
        return ReplayStep(None, 0, 0)
    rows = lock_rows(session, ids)
    events = _events(session, rows)
    changes = [] if raise_only else [_send_result(row, now) for row in rows.values()]
    delivered: dict[int, datetime | None] = {}
    matched = []
    for row_id, of_row in events.items():
        row = rows[row_id]
        times = [e.happened_at for e in of_row if e.kind == EventKind.DELIVERY and e.happened_at]
        if any(event.is_engagement for event in of_row):
            delivered[row_id] = min(times, default=row.delivered_at if raise_only else None)
        changes += [fact_change(event, row, row.attempt_id, now) for event in of_row]
        matched += [Matched(e, Match(Belongs.ROW, row, row.attempt_id)) for e in of_row]
    changes += judge_engagements(session, rows, delivered, now)
    suppress_for(session, matched, now)
    outcome = apply_changes(session, changes, now, rows)
    review_soft_bounces(session, changes, outcome.transitions, now)
    changed = sum(1 for t in outcome.transitions if t.facts_before != t.facts_after)
    return ReplayStep(ids[-1], len(ids), changed)


def _events(session: Session, rows: dict[int, Row[Any]]) -> dict[int, list[SesEvent]]:
    """The stored events of the rows' present attempts."""
    query = select(_EVENTS.c.key, _EVENTS.c.recipient_id, _EVENTS.c.attempt_id, _EVENTS.c.raw)
    query = query.where(
        _EVENTS.c.recipient_id.in_(list(rows)), _EVENTS.c.status == EventStatus.APPLIED
    )
    found: dict[int, list[SesEvent]] = defaultdict(list)
    for key, row_id, attempt_id, raw in session.execute(query):
        event = event_of(key, raw)
        if event is not None and attempt_id in (None, rows[row_id].attempt_id):
            found[row_id].append(event)
    return found


def _send_result(row: Row[Any], now: datetime) -> FactChange:
    """The row as its send left it: what only events can have told is taken away."""
    exact: dict[str, Any] = {"facts": int(row.facts & ~_FROM_EVENTS_ALONE)}
    if row.facts & _FROM_EVENTS_ALONE:
        exact |= {"reason": None, "reason_code": None, "reason_at": None}
    exact |= dict.fromkeys(
        (
            "delivered_at", "bounced_at", "complained_at", "delayed_until", "opened_at",
            "last_opened_at", "machine_opened_at", "clicked_at", "last_clicked_at",
            "machine_clicked_at",
        )
    )  # fmt: skip
    exact |= dict.fromkeys(("opens", "machine_opens", "clicks", "machine_clicks"), 0)
    return FactChange(row.id, row.attempt_id, Fact(0), now, exact=exact)

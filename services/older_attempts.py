"""Rows whose newest attempt was not sent, while an older one of theirs is known to have arrived.

Its event came when the newer one was out, and counted as a second copy. It is the only one after
all: the row takes the older attempt back, and nobody gets another.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import cast

from sqlalchemy import Table, and_, or_, select, update
from sqlalchemy.orm import Session

from domain.statuses import EVENT_FACTS, EventStatus, Fact
from models import Event, PastAttempt
from services import delivery_events
from services.event_effects import put_back

_PAST = cast(Table, PastAttempt.__table__)
_EVENTS = cast(Table, Event.__table__)
#: SES took such a mail and never sent it on.
_NOT_SENT_ON = Fact.REJECTED | Fact.RENDERING_FAILED


def take_back(session: Session, row_ids: Collection[int], now: datetime) -> None:
    """Have rows whose newest attempt was not sent take back an older one that arrived.

    With all that was told of it; in the transaction that has just made them pending or failed.
    """
    if not row_ids:
        return
    arrived = and_(
        _PAST.c.facts.bitwise_and(int(EVENT_FACTS)) != 0,
        _PAST.c.facts.bitwise_and(int(_NOT_SENT_ON)) == 0,
    )
    query = select(_PAST).where(_PAST.c.recipient_id.in_(sorted(row_ids)), arrived)
    older = {row.recipient_id: row for row in session.execute(query.order_by(_PAST.c.ended_at))}
    if not older:
        return
    told = [
        and_(_EVENTS.c.recipient_id == row_id, _EVENTS.c.attempt_id == past.attempt_id)
        for row_id, past in older.items()
    ]
    again = (
        update(_EVENTS)
        .where(or_(*told), _EVENTS.c.status == EventStatus.APPLIED, _EVENTS.c.raw.is_not(None))
        .values(status=EventStatus.NEW)
        .returning(_EVENTS.c.key)
    )
    keys = list(session.scalars(again))
    put_back(session, older, now, counted=1)
    delivery_events.apply_stored(session, keys, now)

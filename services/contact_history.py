"""When contacts were last mailed, opened and clicked: carried over from the ledger afterwards.

A scheduler does it in short steps beside sending, so that neither the claim nor an event pays
for it. Two marks say how far it is: by the time mails were sent, and by the time events came.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, bindparam, exists, func, or_, select, text, update
from sqlalchemy.orm import Session

from audience_models import Contact
from domain.statuses import EventStatus
from models import Event, Recipient
from services.installation import get_value, set_value

_CONTACTS = cast(Table, Contact.__table__)
_ROWS = cast(Table, Recipient.__table__)
_EVENTS = cast(Table, Event.__table__)
_SENT, _EVENT = "contacts_sent_until", "contacts_events_until"
#: What is younger may not be committed yet by another process.
_SETTLED_AFTER = timedelta(seconds=20)
_COLUMNS = {
    "last_mailed_at": _ROWS.c.sent_at,
    "last_opened_at": _ROWS.c.last_opened_at,
    "last_clicked_at": _ROWS.c.last_clicked_at,
}


def carry_over(session: Session, now: datetime, limit: int = 400) -> int:
    """One step for each mark; how many ledger rows were looked at (0 = all is carried over)."""
    if not session.scalar(select(exists(select(_CONTACTS.c.id)))):
        return 0
    until = now - _SETTLED_AFTER
    looked = _step(session, _SENT, _sent_rows(), until, limit)
    oldest_new = session.scalar(
        select(func.min(_EVENTS.c.received_at)).where(
            text("events.status IN ('new', 'parked', 'dead')"),
            _EVENTS.c.status == EventStatus.NEW,
        )
    )
    return looked + _step(session, _EVENT, _event_rows(), min(until, oldest_new or until), limit)


def _sent_rows() -> tuple[Any, Any]:
    query = select(_ROWS.c.sent_at.label("moment"), _ROWS.c.id.label("row_id"))
    return query.where(_ROWS.c.sent_at.is_not(None)), _ROWS.c.sent_at


def _event_rows() -> tuple[Any, Any]:
    query = select(_EVENTS.c.received_at.label("moment"), _EVENTS.c.recipient_id.label("row_id"))
    return query, _EVENTS.c.received_at


def _step(session: Session, mark: str, source: tuple[Any, Any], until: datetime, limit: int) -> int:
    """Carry over the rows behind a mark and move it; rows of one moment stay together."""
    query, moment = source
    done = get_value(session, mark)
    since = datetime.fromtimestamp(float(done), UTC) if done else None
    query = query.where(moment < until).order_by(moment)
    if since is not None:
        query = query.where(moment > since)
    found = session.execute(query.limit(limit)).all()
    if not found:
        return 0
    last = found[-1].moment
    if len(found) == limit and found[0].moment != last:
        found = [row for row in found if row.moment < last]
        last = found[-1].moment
    _write(session, sorted({row.row_id for row in found if row.row_id is not None}))
    set_value(session, mark, repr(last.timestamp()))
    return len(found)


def _write(session: Session, ids: Sequence[int]) -> None:
    rows = session.execute(
        select(_ROWS.c.address_hash, *(column.label(n) for n, column in _COLUMNS.items()))
        .join(_CONTACTS, _CONTACTS.c.address_hash == _ROWS.c.address_hash)
        .where(_ROWS.c.id.in_(ids))
        .order_by(_ROWS.c.address_hash)
    ).all()
    for name in _COLUMNS:
        values = [
            {"b_hash": row.address_hash, "b_at": getattr(row, name)}
            for row in rows
            if getattr(row, name) is not None
        ]
        column = _CONTACTS.c[name]
        newer = or_(column.is_(None), column < bindparam("b_at"))
        statement = update(_CONTACTS).where(_CONTACTS.c.address_hash == bindparam("b_hash"), newer)
        if values:
            session.connection().execute(
                statement.values({name: bindparam("b_at", type_=column.type)}), values
            )

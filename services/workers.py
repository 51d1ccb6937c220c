"""Heartbeats: which schedulers are alive, by the database's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.orm import Session

from database import epoch_now
from models import Worker

_WORKERS = cast(Table, Worker.__table__)
#: A worker that has not been seen for this long is gone (seconds).
GONE_SECONDS = 60.0
#: Its row stays this long for the diagnosis (seconds).
_FORGET_SECONDS = 86_400.0


def beat(session: Session, worker: str, role: str, details: dict[str, Any], now: datetime) -> None:
    """Note that a worker is alive; the first beat makes its row."""
    values = {"seen_at": epoch_now(), "details": details}
    done = session.execute(
        update(_WORKERS).where(_WORKERS.c.id == worker).values(values).returning(_WORKERS.c.id)
    )
    if done.first() is None:
        session.execute(insert(_WORKERS).values(id=worker, role=role, started_at=now, **values))


def leave(session: Session, worker: str) -> None:
    """A worker ends in order."""
    session.execute(delete(_WORKERS).where(_WORKERS.c.id == worker))


def forget_gone(session: Session) -> None:
    """Drop workers that were not seen for a day."""
    session.execute(delete(_WORKERS).where(_WORKERS.c.seen_at < epoch_now() - _FORGET_SECONDS))


def alive(session: Session, role: str | None = None) -> int:
    """How many workers (of a role) were seen lately."""
    query = select(func.count()).where(_WORKERS.c.seen_at >= epoch_now() - GONE_SECONDS)
    if role is not None:
        query = query.where(_WORKERS.c.role == role)
    return session.scalar(query) or 0


def age_seconds(session: Session) -> float | None:
    """Seconds since any scheduler was seen; None if none ever was."""
    query = select(epoch_now() - func.max(_WORKERS.c.seen_at.cast(epoch_now.type)))
    value = session.scalar(query.where(_WORKERS.c.role == "scheduler"))
    return None if value is None else max(0.0, float(value))

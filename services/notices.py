"""Things that need a person: raised once under a code, shown until they are over."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from models import Notice


def raise_notice(session: Session, code: str, severity: str, text: str, now: datetime) -> None:
    """Show `text` (what is wrong and what to do) until the code is cleared.

    `severity` is "warn" or "fail". Raising a code again keeps the time it began.
    """
    notice = session.get(Notice, code)
    if notice is None:
        session.add(Notice(code=code, severity=severity, text=text, created_at=now, updated_at=now))
    elif (notice.severity, notice.text) != (severity, text):
        notice.severity, notice.text, notice.updated_at = severity, text, now
    session.flush()


def clear_notice(session: Session, code: str) -> None:
    """The matter is over; clearing what was never raised does nothing."""
    session.execute(delete(Notice).where(Notice.code == code))

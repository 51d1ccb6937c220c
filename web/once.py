"""Forms that make something: pressed twice, reloaded or sent again from history they do it once.

A page carries a random key; the transaction that does the work stores it with the address of
the result, so that a second post of the same form leads there instead of doing it again.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from models import SubmittedForm

_FORGET_AFTER = timedelta(days=7)


def new_key() -> str:
    """The key of a form on a page that is being made."""
    return secrets.token_urlsafe(12)


def take(session: Session, key: str | None, now: datetime) -> str | None:
    """None when the form is new, else the address of what it made; call inside `writing`.

    A second post that arrives while the first still works waits for it. A form without a key
    is always new.
    """
    if not key or len(key) > 64:
        return None
    session.execute(delete(SubmittedForm).where(SubmittedForm.created_at < now - _FORGET_AFTER))
    try:
        with session.begin_nested():
            session.add(SubmittedForm(key=key, created_at=now))
    except IntegrityError:
        return session.get_one(SubmittedForm, key).location
    return None


def keep(session: Session, key: str | None, location: str) -> None:
    """Remember where the result of a form that `take` called new can be seen."""
    if key and len(key) <= 64:
        session.get_one(SubmittedForm, key).location = location

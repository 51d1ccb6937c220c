"""Messages that say they are SES events and cannot be read: kept with the reason, to try again."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from database import is_sqlite
from domain.ses_events import Unrecognised, parse_text
from models import DeadLetter
from services.delivery_events import Incoming, store

#: The list is for a person: what is older than the newest thousand is dropped.
MOST_KEPT = 1000


def keep_dead_letter(session: Session, door: str, body: str, reason: str, now: datetime) -> None:
    """Keep a message once; a repeated one stays the same entry."""
    clean = body.replace("\0", "").encode("utf-8", "replace").decode()
    insert = sqlite.insert if is_sqlite(session) else postgresql.insert
    session.execute(
        insert(DeadLetter)
        .values(
            door=door,
            fingerprint=sha256(clean.encode()).hexdigest(),
            body=clean,
            reason=reason,
            received_at=now,
            tries=1,
        )
        .on_conflict_do_nothing(index_elements=["fingerprint"])
    )
    oldest = select(DeadLetter.id).order_by(DeadLetter.id.desc()).offset(MOST_KEPT).limit(1)
    found = session.scalar(oldest)
    if found is not None:
        session.execute(delete(DeadLetter).where(DeadLetter.id <= found))


def try_again(session: Session, letter_id: int, now: datetime) -> str | None:
    """Read a dead letter afresh and apply it; None when that worked, or the reason it did not."""
    letter = session.get(DeadLetter, letter_id)
    if letter is None:
        return "This message is not here any more."
    parsed = parse_text(letter.body)
    if isinstance(parsed, Unrecognised):
        letter.tries += 1
        letter.reason = parsed.sentence
        session.flush()
        return parsed.sentence
    store(session, [Incoming.of(letter.body, parsed, letter.door)], now)
    session.delete(letter)
    session.flush()
    return None

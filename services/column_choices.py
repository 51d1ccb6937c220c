"""What a person made of the columns under a header, kept to suggest it for the next such file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from sqlalchemy.orm import Session

from domain.recipient_headers import plain_header
from models import ColumnChoice


@dataclass(frozen=True, slots=True)
class Choice:
    """The address column and the variable of each other column, None = left out."""

    email_column: int
    names: dict[int, str | None]


def remember(session: Session, headers: Sequence[str], choice: Choice, now: datetime) -> None:
    """Keep a choice for files with this header; files without one are not told apart."""
    key = _key(headers)
    if key is None:
        return
    kept = {
        "email_column": choice.email_column,
        "names": {str(at): name for at, name in choice.names.items()},
    }
    session.merge(ColumnChoice(header_key=key, choice=kept, used_at=now))
    session.flush()


def recall(session: Session, headers: Sequence[str]) -> Choice | None:
    """The last choice for this header."""
    key = _key(headers)
    found = session.get(ColumnChoice, key) if key is not None else None
    if found is None:
        return None
    names = {int(at): name for at, name in found.choice["names"].items()}
    return Choice(found.choice["email_column"], names)


def _key(headers: Sequence[str]) -> bytes | None:
    plain = [plain_header(header) for header in headers]
    if not any(plain):
        return None
    return blake2b("\x1f".join(plain).encode("utf-8", "replace"), digest_size=16).digest()

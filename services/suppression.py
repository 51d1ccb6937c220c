"""Who gets nothing any more, by address: survives campaigns, imports and deletion.

A suppression is a row under the keyed hash of the address, so that the claim compares columns.
A domain or wildcard is a row as well, with a key by which services.suppression_patterns finds it.
Rows that are already waiting are not touched here: the claim skips them at the moment of
sending, in the same statement.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    delete,
    exists,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.dml import Insert

from database import bulk_session, bytes_array, is_sqlite, writing
from domain.addresses import address_hash, address_key
from domain.statuses import SuppressionReason
from domain.suppression_patterns import Pattern, parse_pattern
from models import Recipient, SuppressedPattern, Suppression
from services import suppression_patterns
from services.installation import address_key_secret

logger = logging.getLogger(__name__)

#: Hashes looked up in one statement: SQLite allows 32,766 parameters, and plans stay small.
_AT_ONCE = 500
#: So many matches of a search are sorted by age; of more, the newest are near the list's end.
_MANY = 10_000
_KNOWN = "SELECT address_hash, reason FROM suppressions"


@dataclass(frozen=True, slots=True)
class SuppressionPage:
    """One page of the list, newest first, with what to ask for next (None = the end)."""

    rows: Sequence[Suppression]
    next_before: int | None


def suppress(
    session: Session,
    address: str | bytes,
    reason: SuppressionReason,
    source: str,
    campaign_id: int | None,
    now: datetime,
    note: str | None = None,
) -> bool:
    """Suppress an address, given as text or as its keyed hash; True if it was not yet.

    Idempotent: what was known first stays, except that a complaint or an unsubscribe replaces
    a lesser reason, since a person's own word is not undone by a delivery or by hand.
    """
    key = None if isinstance(address, bytes) else address_key(address)
    hashed = address if isinstance(address, bytes) else hash_of(session, address)
    values = {
        "address_hash": hashed,
        "address": key,
        "reason": reason,
        "source": source,
        "note": note,
        "campaign_id": campaign_id,
        "created_at": now,
    }
    added = session.scalar(insert_new(session).values(values).returning(Suppression.id))
    if added is not None:
        logger.info("suppressed %s: %s", hashed.hex(), reason.value)
        return True
    known = session.scalars(
        select(Suppression).where(Suppression.address_hash == hashed).with_for_update()
    ).one_or_none()
    if known is not None and is_heavier(reason, known.reason):
        known.reason, known.source, known.campaign_id = reason, source, campaign_id
        known.import_id = None  # the undoing of a file does not take back what is known since
        known.address = known.address or key
        session.flush()
    return False


def suppress_pattern(
    session: Session,
    pattern: Pattern,
    reason: SuppressionReason,
    source: str,
    now: datetime,
    note: str | None = None,
) -> bool:
    """Suppress a domain or wildcard; True if it was not yet."""
    if not suppress(session, pattern.text, reason, source, None, now, note):
        return False
    row = select(Suppression.id).where(Suppression.address_hash == hash_of(session, pattern.text))
    session.add(SuppressedPattern(key=pattern.key, suppression_id=session.scalars(row).one()))
    session.flush()
    return True


def insert_new(session: Session) -> Insert:
    """An INSERT of suppressions that leaves the addresses alone that are there already."""
    if is_sqlite(session):
        return sqlite.insert(Suppression).on_conflict_do_nothing(index_elements=["address_hash"])
    return postgresql.insert(Suppression).on_conflict_do_nothing(index_elements=["address_hash"])


#: A heavier reason replaces a lighter one.
_WEIGHT = {
    SuppressionReason.IMPORTED: 0,
    SuppressionReason.SOFT_BOUNCES: 0,
    SuppressionReason.ACCOUNT_LIST: 1,
    SuppressionReason.MANUAL: 2,
    SuppressionReason.BOUNCED: 2,
    SuppressionReason.UNSUBSCRIBED: 3,
    SuppressionReason.COMPLAINED: 4,
}


def is_heavier(reason: SuppressionReason, known: SuppressionReason) -> bool:
    """Whether this reason replaces the one that is kept."""
    return _WEIGHT[reason] > _WEIGHT[known]


def unsuppress(session: Session, text: str) -> bool:
    """Take an address, domain or wildcard off the list, as a person decided; False if it was
    not on it."""
    pattern = parse_pattern(text)
    address = pattern.text if isinstance(pattern, Pattern) else text
    removed = session.execute(
        delete(Suppression).where(Suppression.address_hash == hash_of(session, address))
    )
    return bool(getattr(removed, "rowcount", 0))


def withdraw(session: Session, hashed: bytes, reason: SuppressionReason) -> bool:
    """Take back a suppression that has exactly this reason (its cause turned out not to be)."""
    removed = session.execute(
        delete(Suppression).where(Suppression.address_hash == hashed, Suppression.reason == reason)
    )
    return bool(getattr(removed, "rowcount", 0))


def withdraw_import(sessions: sessionmaker[Session], job_id: int) -> int:
    """Take back the entries that one import added, in short steps; how many they were.

    An entry that got a weightier reason since stays.
    """
    removed = 0
    ours = Suppression.import_id == job_id
    with bulk_session(sessions) as session:
        while True:
            with writing(session):
                ids = session.scalars(select(Suppression.id).where(ours).limit(_AT_ONCE)).all()
                session.execute(delete(Suppression).where(Suppression.id.in_(ids), ours))
            removed += len(ids)
            if len(ids) < _AT_ONCE:
                return removed


def find(session: Session, address: str) -> Suppression | None:
    """Why an address gets nothing: its own entry, or that of a domain or wildcard; or None."""
    own = session.scalars(
        select(Suppression).where(Suppression.address_hash == hash_of(session, address))
    ).one_or_none()
    if own is not None:
        return own
    covering = suppression_patterns.covering(session, [address_key(address)])
    return session.get(Suppression, next(iter(covering.values()))) if covering else None


def suppressed_hashes(
    session: Session, hashes: Collection[bytes]
) -> dict[bytes, SuppressionReason]:
    """Which of these address hashes are suppressed, and why."""
    found: dict[bytes, SuppressionReason] = {}
    connection = session.connection()
    for part in _parts(hashes):  # asked of the driver: an import does it for every row
        if is_sqlite(session):
            marks = ",".join("?" * len(part))
            rows = connection.exec_driver_sql(
                f"{_KNOWN} WHERE address_hash IN ({marks})", tuple(part)
            )
        else:  # a join: PostgreSQL would go through a whole array for each row of a small list
            given = " JOIN unnest(%s::bytea[]) AS given(hash) ON address_hash = given.hash"
            rows = connection.exec_driver_sql(_KNOWN + given, (bytes_array(part),))
        found.update((bytes(row[0]), SuppressionReason(row[1])) for row in rows)
    return found


def suppressed_people(
    session: Session, people: Mapping[bytes, str]
) -> dict[bytes, SuppressionReason | None]:
    """Which of these people (address key by hash) get nothing, and why; None as the reason means
    that a domain or wildcard covers the address."""
    found: dict[bytes, SuppressionReason | None] = {**suppressed_hashes(session, people.keys())}
    free = {address: hashed for hashed, address in people.items() if hashed not in found}
    covering = suppression_patterns.covering(session, free)
    return found | {free[address]: None for address in covering}


def suppressed_clause(recipient: Any = Recipient) -> ColumnElement[bool]:
    """An SQL condition: the row of `recipient` (the class, an alias or a CTE) is suppressed."""
    columns = getattr(recipient, "c", recipient)
    return exists().where(Suppression.address_hash == columns.address_hash)


def search(
    session: Session,
    text: str = "",
    *,
    reason: SuppressionReason | None = None,
    only_patterns: bool = False,
    before: int | None = None,
    limit: int = 50,
) -> SuppressionPage:
    """A page of suppressions, newest first; `text` is the start of an address, or `@domain`.

    `before` is `next_before` of the page before. A whole address finds its entry even after its
    text was erased, and the domains and wildcards that cover it. With `only_patterns` there are
    domains and wildcards alone.
    """
    wanted = select(Suppression).order_by(Suppression.id.desc()).limit(limit + 1)
    if before is not None:
        wanted = wanted.where(Suppression.id < before)
    if only_patterns:
        wanted = wanted.where(Suppression.id.in_(select(SuppressedPattern.suppression_id)))
    text = text.strip().lower()
    if text.startswith("@"):
        rows = _of_domain(session, wanted, text[1:], [reason] if reason else SuppressionReason)
    else:
        if reason is not None:
            wanted = wanted.where(Suppression.reason == reason)
        rows = session.scalars(wanted.where(_matches(session, text)) if text else wanted).all()
    more = len(rows) > limit
    return SuppressionPage(rows[:limit], rows[limit - 1].id if more else None)


def _of_domain(
    session: Session,
    wanted: Select[Suppression],
    domain: str,
    reasons: Iterable[SuppressionReason],
) -> Sequence[Suppression]:
    """The newest of one domain: one look into its index for each reason, so that a rare reason
    at a large domain is as near as any."""
    wanted = wanted.where(Suppression.domain == address_key(f"x@{domain}")[2:])
    rows = [
        row for one in reasons for row in session.scalars(wanted.where(Suppression.reason == one))
    ]
    return sorted(rows, key=lambda row: row.id, reverse=True)


def count_by_reason(session: Session) -> dict[SuppressionReason, int]:
    """How many addresses are suppressed, by reason."""
    rows = session.execute(select(Suppression.reason, func.count()).group_by(Suppression.reason))
    return {row[0]: row[1] for row in rows}


def count_patterns(session: Session) -> int:
    """How many of them are domains and wildcards."""
    return session.scalar(select(func.count()).select_from(SuppressedPattern)) or 0


def prefix_range(column: Any, prefix: str) -> ColumnElement[bool]:
    """`column` begins with `prefix`, as a range that an index by bytes answers."""
    found: ColumnElement[bool] = (column >= prefix) & (column < prefix + "\U0010ffff")
    return found


def _matches(session: Session, text: str) -> ColumnElement[bool]:
    pattern = parse_pattern(text)
    if isinstance(pattern, Pattern) and "*" in text:
        return Suppression.address == pattern.text
    starts = prefix_range(Suppression.address, text)
    if "@" in text:
        covering = suppression_patterns.covering(session, [address_key(text)]).values()
        own = Suppression.address_hash == hash_of(session, text)
        return or_(starts, own, Suppression.id.in_(list(covering)))
    some = select(Suppression.id).where(starts).limit(_MANY + 1).subquery()
    if (session.scalar(select(func.count()).select_from(some)) or 0) <= _MANY:
        return starts
    unindexed = type_coerce(Suppression.address, String).concat("")
    return prefix_range(unindexed, text)


def hash_of(session: Session, address: str) -> bytes:
    """The keyed hash of an address, spelt in any way."""
    return address_hash(address_key_secret(session), address)


def _parts(hashes: Iterable[bytes]) -> Iterable[list[bytes]]:
    known = list(hashes)
    for start in range(0, len(known), _AT_ONCE):
        yield known[start : start + _AT_ONCE]

"""Whom the domains and wildcards of the suppression list cover, in SQL and by keys.

The list keeps them as entries like any other (services.suppression); here is how they are found.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Integer, cast, exists, literal_column, select
from sqlalchemy.orm import Session

from domain.suppression_patterns import keys_of
from models import SuppressedPattern

_AT_ONCE = 500
#: The domain of an address, for tables that have no column of it: see models.Recipient.domain.
_DOMAIN = "substr({a}, length(rtrim({a}, replace({a}, '@', ''))) + 1)"
_COVERED = """(EXISTS (SELECT 1 FROM suppressed_patterns) AND (
    EXISTS (SELECT 1 FROM suppressed_patterns AS p
        WHERE p.key = substr({address}, 1, length({address}) - length({domain})))
    OR EXISTS (
        WITH RECURSIVE own(key) AS (
            SELECT '@' || {domain} UNION ALL
            SELECT ltrim(substr(key, 2), replace(substr(key, 2), '.', '')) FROM own
            WHERE length(key) > 1
        )
        SELECT 1 FROM own JOIN suppressed_patterns AS p ON p.key = own.key)))"""
_ANY = select(exists().where(SuppressedPattern.key != ""))


def covered_sql(address: str, domain: str | None = None) -> str:
    """An SQL condition, on both databases: a pattern covers the row that has these columns.

    Without patterns it costs one look into an empty table for the whole statement. With them a
    row's keys are reckoned one after another, as `keys_of` does, and each is looked up.
    """
    domain = domain or _DOMAIN.format(a=address)
    return _COVERED.format(address=address, domain=domain)


def covered(table: str, domain: str | None = None) -> ColumnElement[int]:
    """`covered_sql` of a table's `address` as a column: 1 or 0."""
    condition = covered_sql(f"{table}.address", domain and f"{table}.{domain}")
    return cast(literal_column(condition), Integer)


def any_there(session: Session) -> bool:
    """Whether the list has any domain or wildcard."""
    return bool(session.scalar(_ANY))


def covering(session: Session, addresses: Iterable[str]) -> dict[str, int]:
    """Which of these address keys a pattern covers, with the id of the pattern's entry."""
    if not any_there(session):
        return {}
    keys = {address: keys_of(address) for address in addresses}
    wanted = list(dict.fromkeys(key for own in keys.values() for key in own))
    known: dict[str, int] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        part = SuppressedPattern.key.in_(wanted[start : start + _AT_ONCE])
        rows = session.execute(
            select(SuppressedPattern.key, SuppressedPattern.suppression_id).where(part)
        )
        known.update((row[0], row[1]) for row in rows)
    found = {address: [known[key] for key in own if key in known] for address, own in keys.items()}
    return {address: ids[0] for address, ids in found.items() if ids}

"""Which version of the tables a database has, and which one this code needs."""

from __future__ import annotations

from sqlalchemy import column, inspect, select, table
from sqlalchemy.orm import Session

#: The newest migration; a test compares it with migrations/versions.
NEEDED_VERSION = "0012"


def current_version(session: Session) -> str | None:
    """The number of the last migration that was applied; None before the first."""
    if not inspect(session.connection()).has_table("alembic_version"):
        return None
    return session.scalar(select(column("version_num")).select_from(table("alembic_version")))


def is_current(session: Session) -> bool:
    """Whether this code may work with this database: sending stops where it may not."""
    return current_version(session) == NEEDED_VERSION

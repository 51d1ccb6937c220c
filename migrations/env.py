"""How Alembic runs the migrations: update_db_schema.py hands over the connection.

Types are written into migrations as what the database stores, so that old migrations keep
working when models.py changes.
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.types import TypeDecorator

from models import Base


def _plain_type(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """`sa.Float(precision=53)` instead of `models.UtcTime()`."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


def _check_foreign_keys(ctx: MigrationContext, step: Any, heads: Any, run_args: Any) -> None:
    """Stop a migration on SQLite before its commit if rows lost what they point to."""
    connection = ctx.connection
    if connection is None or connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"the migration leaves {len(broken)} rows without their parent")


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=_plain_type,
        transactional_ddl=True,
        transaction_per_migration=True,
        on_version_apply=_check_foreign_keys,
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])

"""Many rows of a table by one statement: given to it as columns, or changed to values of their own.

PostgreSQL gets each column as one text that it reads as an array: its driver takes four times as
long to write a list, and a statement for each row twice as much of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    Dialect,
    LargeBinary,
    String,
    Table,
    TableValuedAlias,
    Text,
    TypeDecorator,
    Update,
    bindparam,
    cast,
    column,
    func,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from database import is_sqlite


class _AsArray(TypeDecorator[Any]):
    """Values of one type, written as PostgreSQL writes an array. None of them holds a NUL."""

    impl = Text
    cache_ok = True

    def __init__(self, of: TypeEngine[Any]) -> None:
        super().__init__()
        self.of = of

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """The text."""
        plain = None
        if not isinstance(self.of, LargeBinary):
            plain = self.of.dialect_impl(dialect).bind_processor(dialect)
        return f"{{{','.join(map(_written, map(plain, value) if plain else value))}}}"


def _written(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else repr(value)


def given_rows(columns: dict[str, TypeEngine[Any]]) -> TableValuedAlias:
    """On PostgreSQL: a table `given` with these columns, each bound to a list under its name."""
    arrays = (
        cast(
            bindparam(name, type_=_AsArray(kind)),
            ARRAY(Text() if isinstance(kind, String) else kind),  # without its collation
        )
        for name, kind in columns.items()
    )
    named = (column(name, kind) for name, kind in columns.items())
    return func.unnest(*arrays).table_valued(*named).render_derived(name="given")


def update_rows(
    session: Session, table: Table, names: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Set the columns `names` of the rows whose id is `b_id`; each of `rows` has all of them."""
    connection = session.connection()
    if is_sqlite(session):
        statement, writers = _one_by_one(table, tuple(names))
        values = [
            tuple([write(row[name]) if write else row[name] for name, write in writers])
            for row in rows
        ]
        connection.exec_driver_sql(statement, values)
        return
    arrays = {name: [row[name] for row in rows] for name in ("b_id", *names)}
    connection.execute(_at_once(table, tuple(names)), arrays)


@cache
def _one_by_one(table: Table, names: tuple[str, ...]) -> tuple[str, list[tuple[str, Any]]]:
    """SQLite's statement, and what writes the values: SQLAlchemy takes longer than the update."""
    dialect = sqlite.dialect()
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    statement = update(table).where(table.c.id == bindparam("b_id")).values(values)
    compiled: Any = statement.compile(dialect=dialect)
    kinds = {"b_id": table.c.id.type, **{name: table.c[name].type for name in names}}
    writers = [
        (name, kinds[name].dialect_impl(dialect).bind_processor(dialect))
        for name in compiled.positiontup
    ]
    return str(compiled), writers


@cache
def _at_once(table: Table, names: tuple[str, ...]) -> Update:
    given = given_rows({"b_id": table.c.id.type, **{name: table.c[name].type for name in names}})
    values: dict[str, Any] = {name: given.c[name] for name in names}
    return update(table).where(table.c.id == given.c.b_id).values(values)

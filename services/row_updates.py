"""Many rows of a table changed alike, each to values of its own, by one statement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, Table, Update, bindparam, column, func, update
from sqlalchemy.orm import Session

from database import is_sqlite


def update_rows(
    session: Session, table: Table, names: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Set the columns `names` of the rows whose id is `b_id`; each of `rows` has all of them."""
    connection = session.connection()
    if is_sqlite(session):
        connection.execute(_one_by_one(table, tuple(names)), rows)
        return
    # PostgreSQL's own work is half of that for a statement a row.
    arrays = {name: [row[name] for row in rows] for name in ("b_id", *names)}
    connection.execute(_at_once(table, tuple(names)), arrays)


@cache
def _one_by_one(table: Table, names: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return update(table).where(table.c.id == bindparam("b_id")).values(values)


@cache
def _at_once(table: Table, names: tuple[str, ...]) -> Update:
    types = {"b_id": table.c.id.type, **{name: table.c[name].type for name in names}}
    given = (
        func.unnest(*(bindparam(name, type_=ARRAY(kind)) for name, kind in types.items()))
        .table_valued(*(column(name, kind) for name, kind in types.items()))
        .render_derived(name="given")
    )
    values: dict[str, Any] = {name: given.c[name] for name in names}
    return update(table).where(table.c.id == given.c.b_id).values(values)

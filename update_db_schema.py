"""Brings any database of this product to the newest schema: `python update_db_schema.py`.

Safe to run at any time, repeatedly, and by several hosts at once: one lock, one transaction per
migration, and on SQLite a copy of the database before the first change. `--check` only looks.
"""

from __future__ import annotations

import argparse
import fcntl
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from config import ROOT, ConfigError, load_settings
from database import begin_immediate, make_engine, make_sessions, writing
from services.installation import ensure_installation
from services.schema import NEEDED_VERSION, current_version

MIGRATIONS = ROOT / "migrations"
#: Any number will do, as long as nothing else in the database asks for the same lock.
_LOCK_NUMBER = 7_264_881_003


class SchemaError(Exception):
    """The schema cannot be brought up; the message says why and what to do."""


def migration_scripts() -> ScriptDirectory:
    """The numbered migrations of this version of the product."""
    return ScriptDirectory.from_config(_alembic_config())


def schema_engine(database_url: str) -> Engine:
    """An engine for migrations: foreign keys off.

    With them on, SQLite's way of changing a table (copy, drop, rename) would make ON DELETE
    CASCADE remove the children of every row; they are checked before each commit instead.
    """
    engine = make_engine(database_url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _foreign_keys_off(connection: sqlite3.Connection, record: Any) -> None:
            connection.execute("PRAGMA foreign_keys=OFF")

    return engine


def pending_migrations(engine: Engine) -> list[str]:
    """The migrations that this database still lacks, oldest first, as "0002 add something".

    Raises SchemaError when the database was used with a newer version of the product.
    """
    with Session(engine) as session:
        present = current_version(session)
    scripts = migration_scripts()
    known = {script.revision for script in scripts.walk_revisions()}
    if present is not None and present not in known:
        raise SchemaError(
            f"The database has schema {present}, this version of the product knows up to "
            f"{NEEDED_VERSION}: it was used with a newer version. Update the product."
        )
    missing = scripts.iterate_revisions("head", present or "base")
    return [f"{script.revision} {script.doc}" for script in reversed(list(missing))]


def update(database_url: str, *, backup: bool = True) -> list[str]:
    """Apply what is missing and make the installation's keys; returns what was applied.

    A migration that fails leaves the database as the one before it left it.
    """
    engine = schema_engine(database_url)
    try:
        with _lock(engine):
            missing = pending_migrations(engine)
            with Session(engine) as session:
                is_new = current_version(session) is None
            if missing and backup and not is_new:
                _back_up(engine)
            if missing:
                with engine.connect() as connection:
                    command.upgrade(_alembic_config(begin_immediate(connection)), "head")
            with make_sessions(engine)() as session, writing(session):
                ensure_installation(session)
            return missing
    finally:
        engine.dispose()


def write_migration(database_url: str, message: str) -> Path:
    """Write the next numbered migration from the difference between models and database."""
    numbers = [int(script.revision) for script in migration_scripts().walk_revisions()]
    number = f"{max(numbers, default=0) + 1:04d}"
    engine = schema_engine(database_url)
    try:
        with engine.connect() as connection:
            script = command.revision(
                _alembic_config(connection), message, autogenerate=True, rev_id=number
            )
    finally:
        engine.dispose()
    if script is None or isinstance(script, list):
        raise SchemaError("No migration was written.")
    path = Path(script.path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ###" not in line))
    return path


def _alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _lock(engine: Engine) -> Iterator[None]:
    """Let one process at a time change the schema; others wait for it."""
    if engine.dialect.name == "sqlite":
        with Path(f"{engine.url.database}.schema-lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK_NUMBER})")
        connection.commit()
        yield
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK_NUMBER})")


def _back_up(engine: Engine) -> None:
    """Keep a copy of a SQLite database; PostgreSQL has its own ways, and they need rights."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return
    path = Path(engine.url.database)
    copy = path.with_name(f"{path.stem}-before-update-{time.strftime('%Y%m%d-%H%M%S')}.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    print(f"A copy of the database from before the update: {copy}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when the schema is the newest, 1 when it is not or cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python update_db_schema.py")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    parser.add_argument("--no-backup", action="store_true", help="SQLite: make no copy first")
    parser.add_argument("--new", metavar="MESSAGE", help="write a migration from models.py")
    options = parser.parse_args(arguments)
    try:
        database_url = load_settings().database_url
        if options.new:
            print(f"Written: {write_migration(database_url, options.new)}. Read it before use.")
            return 0
        if options.check:
            return _report(database_url)
        applied = update(database_url, backup=not options.no_backup)
    except (ConfigError, SchemaError) as error:
        print(error, file=sys.stderr)
        return 1
    except OperationalError as error:
        print(f"The database does not answer: {error.orig}", file=sys.stderr)
        return 1
    for name in applied:
        print(f"Applied {name}.")
    print(f"The schema is up to date ({NEEDED_VERSION}).")
    return 0


def _report(database_url: str) -> int:
    engine = schema_engine(database_url)
    try:
        missing = pending_migrations(engine)
    finally:
        engine.dispose()
    for name in missing:
        print(f"Missing: {name}.")
    if not missing:
        print(f"The schema is up to date ({NEEDED_VERSION}).")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

"""Migrations: they make what models.py says, keep every row, and refuse what they do not know."""

from __future__ import annotations

import itertools
import re
import shutil
import threading
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

import update_db_schema
from audience_models import AudiencePart
from database import make_engine, make_sessions, writing
from domain.statuses import RecipientStatus
from models import Base, Campaign, CampaignCounters, Recipient
from services.schema import NEEDED_VERSION, current_version, is_current
from tests.postgres import PostgresServer
from update_db_schema import SchemaError, migration_scripts, pending_migrations, update

_numbers = itertools.count(1)
_POSTGRES_SHAPE = """
SELECT 'column', table_name || '.' || column_name, data_type || coalesce(collation_name, '')
       || coalesce(character_maximum_length::text, '') || is_nullable
       || coalesce(column_default, '')
  FROM information_schema.columns WHERE table_schema = 'public'
UNION SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION SELECT 'index', tablename || '.' || indexname, indexdef
  FROM pg_indexes WHERE schemaname = 'public'
UNION SELECT 'options', relname, array_to_string(reloptions, ',')
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    engine = make_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def more_migrations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the migrations folder to which a test can add a number 9001."""
    copy = tmp_path / "migrations"
    shutil.copytree(update_db_schema.MIGRATIONS, copy)
    monkeypatch.setattr(update_db_schema, "MIGRATIONS", copy)
    return copy


def _add_migration(folder: Path, body: str) -> None:
    head = (
        '"""Change campaigns."""\nimport sqlalchemy as sa\nfrom alembic import op\n'
        f'revision = "9001"\ndown_revision = "{NEEDED_VERSION}"\n'
        "def upgrade() -> None:\n"
    )
    (folder / "versions" / "9001_change_campaigns.py").write_text(head + body)


def _fill(engine: Engine, now: datetime) -> None:
    with make_sessions(engine)() as session, writing(session):
        for number in range(3):
            campaign = Campaign(name=f"No. {number}", created_at=now, updated_at=now)
            session.add(campaign)
            session.flush()
            session.add(CampaignCounters(campaign_id=campaign.id, total=5, pending=5))
            for row in range(5):
                address = f"person{row}@example.com"
                session.add(
                    Recipient(campaign_id=campaign.id, email=address, address=address,
                              address_hash=bytes(16), status=RecipientStatus.PENDING,
                              updated_at=now)
                )  # fmt: skip


def _row_counts(engine: Engine) -> dict[str, int]:
    with Session(engine) as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


#: A column that was added later stands in the line of another one.
_BETWEEN_COLUMNS = r",?\s*\n|, (?![^(]*\))"


def _shape(engine: Engine) -> set[tuple[str, ...]]:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return {tuple(row) for row in connection.execute(text(_POSTGRES_SHAPE))}
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master"))
        return {
            (kind, name, *sorted(re.sub(r"[\s\"]+", " ", line).strip(" ,()")
                                 for line in re.split(_BETWEEN_COLUMNS, sql or "")))
            for kind, name, sql in rows
        }  # fmt: skip


def test_migrations_make_exactly_what_models_say(empty: Engine, empty_url: str) -> None:
    update(empty_url)
    with empty.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    migrated = _shape(empty)
    Base.metadata.drop_all(empty)
    Base.metadata.create_all(empty)
    assert migrated == _shape(empty)


def test_needed_version_is_the_newest_migration() -> None:
    assert migration_scripts().get_current_head() == NEEDED_VERSION
    assert migration_scripts().get_heads() == [NEEDED_VERSION]


def test_second_update_applies_nothing(empty: Engine, empty_url: str) -> None:
    assert len(update(empty_url)) == len(list(migration_scripts().walk_revisions()))
    with Session(empty) as session:
        assert is_current(session)
        before = session.execute(text("SELECT key, value FROM installation ORDER BY key")).all()
    assert update(empty_url) == []
    with Session(empty) as session:
        after = session.execute(text("SELECT key, value FROM installation ORDER BY key")).all()
    assert before == after
    assert len(before) >= 2


def test_updates_at_the_same_time_apply_once(empty_url: str) -> None:
    applied: list[list[str]] = []
    threads = [threading.Thread(target=lambda: applied.append(update(empty_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, applied))[:3] == [0, 0, 0]
    assert len(applied) == 4


def test_unknown_newer_schema_is_refused(empty: Engine, empty_url: str) -> None:
    update(empty_url)
    with empty.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer version"):
        update(empty_url)
    with Session(empty) as session:
        assert current_version(session) == "9999"
        assert not is_current(session)


def test_rebuilding_a_parent_table_keeps_its_children(
    empty: Engine, empty_url: str, more_migrations: Path, now: datetime
) -> None:
    update(empty_url)
    _fill(empty, now)
    before = _row_counts(empty)
    _add_migration(
        more_migrations,
        '    with op.batch_alter_table("campaigns", recreate="auto") as batch:\n'
        '        batch.alter_column("name", type_=sa.Text(), existing_nullable=False)\n'
        '        batch.add_column(sa.Column("note", sa.Text()))\n',
    )
    assert update(empty_url) == ["9001 Change campaigns."]
    assert _row_counts(empty) == before
    assert before["recipients"] == 15
    with empty.connect() as connection:
        names = connection.execute(text("SELECT name FROM campaigns WHERE note IS NULL")).all()
    assert len(names) == 3


def test_failing_migration_leaves_the_database_as_it_was(
    empty: Engine, empty_url: str, more_migrations: Path, now: datetime
) -> None:
    update(empty_url)
    _fill(empty, now)
    before = _row_counts(empty)
    _add_migration(
        more_migrations,
        '    op.add_column("campaigns", sa.Column("note", sa.Text()))\n'
        '    op.execute("DELETE FROM recipients")\n'
        '    op.execute("SELECT * FROM no_such_table")\n',
    )
    with pytest.raises(DatabaseError):
        update(empty_url)
    assert _row_counts(empty) == before
    assert pending_migrations(empty) == ["9001 Change campaigns."]
    assert "note" not in {column for _, column, _ in _columns(empty)}


def _columns(engine: Engine) -> set[tuple[str, str, str]]:
    from sqlalchemy import inspect

    found = inspect(engine).get_columns("campaigns")
    return {("campaigns", column["name"], str(column["type"])) for column in found}


def test_migration_that_orphans_rows_is_not_committed(
    tmp_path: Path, more_migrations: Path, now: datetime
) -> None:
    url = f"sqlite:///{tmp_path / 'filled.db'}"
    update(url)
    engine = make_engine(url)
    _fill(engine, now)
    _add_migration(more_migrations, '    op.execute("DELETE FROM campaigns WHERE id = 1")\n')
    with pytest.raises(RuntimeError, match="without their parent"):
        update(url)
    assert _row_counts(engine)["campaigns"] == 3
    engine.dispose()


def test_sqlite_database_is_copied_before_a_change(
    tmp_path: Path, more_migrations: Path, now: datetime
) -> None:
    url = f"sqlite:///{tmp_path / 'filled.db'}"
    update(url)
    assert not list(tmp_path.glob("*before-update*"))
    engine = make_engine(url)
    _fill(engine, now)
    engine.dispose()
    _add_migration(more_migrations, '    op.add_column("campaigns", sa.Column("x", sa.Text()))\n')
    update(url)
    (copy,) = tmp_path.glob("*before-update*")
    engine = make_engine(f"sqlite:///{copy}")
    assert _row_counts(engine)["recipients"] == 15
    assert "x" not in {column for _, column, _ in _columns(engine)}
    engine.dispose()


def test_a_launch_whose_people_are_being_copied_goes_on_after_the_update(
    empty: Engine, empty_url: str, more_migrations: Path, tmp_path: Path, now: datetime
) -> None:
    (packed,) = (more_migrations / "versions").glob("0012_*.py")
    packed.rename(tmp_path / packed.name)
    update(empty_url)
    _fill(empty, now)
    with empty.begin() as connection:
        for campaign_id, copied_at in ((1, None), (2, 5.0)):
            begun = {"id": campaign_id, "copied_at": copied_at}
            connection.execute(
                text(
                    "INSERT INTO audiences (campaign_id, percent, frozen_at, total, copied,"
                    " copied_at) VALUES (:id, 100, 5.0, 3, 1, :copied_at)"
                ),
                begun,
            )
            connection.execute(
                text(
                    "INSERT INTO audience_members (campaign_id, position, person)"
                    " VALUES (:id, 2, -7), (:id, 1, 5), (:id, 3, 9000000000)"
                ),
                begun,
            )
    empty.dispose()
    (tmp_path / packed.name).rename(packed)
    update(empty_url)
    with Session(empty) as session:
        (part,) = session.scalars(select(AudiencePart))
        assert (part.campaign_id, part.start) == (1, 0)
        assert array("q", part.persons).tolist() == [5, -7, 9_000_000_000]

"""Transactions, the database's clock and the column types, on both databases."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, sessionmaker

from database import (
    Checkpoints,
    DatabaseBusy,
    bulk_session,
    bytes_array,
    epoch_now,
    is_sqlite,
    make_engine,
    make_sessions,
    reading_sessions,
    someone_waits,
    text_array,
    writing,
)
from models import InstallationValue, Notice


def _notice(code: str, at: datetime) -> Notice:
    return Notice(code=code, severity="warn", text="words", created_at=at, updated_at=at)


def test_writing_commits_at_its_end(sessions: sessionmaker[Session], now: datetime) -> None:
    with writing(sessions()) as session:
        session.add(_notice("kept", now))
    with sessions() as session:
        assert session.get(Notice, "kept") is not None


def test_writing_rolls_back_when_its_body_raises(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    def fail_while_writing() -> None:
        with writing(sessions()) as session:
            session.add(_notice("lost", now))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_writing()
    with sessions() as session:
        assert session.get(Notice, "lost") is None


def test_writers_in_threads_lose_no_update(sessions: sessionmaker[Session], now: datetime) -> None:
    with writing(sessions()) as session:
        session.add(InstallationValue(key="count", value="0"))

    def add_many() -> None:
        with sessions() as session:
            for _ in range(20):
                with writing(session):
                    row = session.execute(
                        select(InstallationValue).filter_by(key="count").with_for_update()
                    ).scalar_one()
                    row.value = str(int(row.value) + 1)

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions() as session:
        assert session.get_one(InstallationValue, "count").value == "80"


def test_a_writer_that_hangs_holds_up_others_no_longer_than_the_deadline(
    sessions: sessionmaker[Session], now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = sessions()
    if not is_sqlite(hangs):
        pytest.skip("PostgreSQL locks rows, not the database")
    monkeypatch.setattr("database.WRITER_WAIT_SECONDS", 0.05)
    with (
        writing(hangs),
        sessions() as session,
        pytest.raises(DatabaseBusy, match="The database is busy"),
        writing(session),
    ):
        pytest.fail("two writers at once")
    monkeypatch.setattr("database.WRITER_WAIT_SECONDS", 60.0)
    with writing(sessions()) as session:  # whoever gave up is out of the queue
        session.add(_notice("later", now))
    with sessions() as session:
        assert session.get(Notice, "later") is not None


def test_a_writer_sees_that_another_waits_for_it(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    def add() -> None:
        with sessions() as session, writing(session):
            session.add(_notice("waited", now))

    other = threading.Thread(target=add)
    with sessions() as session, writing(session):
        assert not someone_waits(session)
        other.start()
        if is_sqlite(session):
            while not someone_waits(session):
                time.sleep(0.001)
    other.join()
    with sessions() as session, writing(session):
        assert not someone_waits(session)


def test_database_clock_is_seconds_since_the_epoch(session: Session) -> None:
    seconds = session.scalar(select(epoch_now()))
    assert seconds is not None
    assert abs(seconds - datetime.now(UTC).timestamp()) < 60


def test_times_come_back_in_utc(sessions: sessionmaker[Session], now: datetime) -> None:
    elsewhere = now.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with writing(sessions()) as session:
        session.add(_notice("time", elsewhere))
    with sessions() as session:
        stored = session.get_one(Notice, "time").created_at
    assert stored == now
    assert stored.tzinfo is UTC


def test_a_naive_time_is_refused(session: Session) -> None:
    session.add(_notice("naive", datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the point
    with pytest.raises(StatementError, match="time zone"):
        session.flush()


def test_texts_and_bytes_arrive_in_postgresql_as_they_were(session: Session) -> None:
    if is_sqlite(session):
        pytest.skip("SQLite has no arrays")
    texts = ["", "NULL", 'say "hi"', "back\\slash\\", "{a,b}", " blanks ", "line\nend", "é, ü"]
    raw = [b"", b"\x00\xff", b"\\"]
    given = {"texts": text_array(texts), "raw": bytes_array(raw)}
    row = session.execute(text("SELECT CAST(:texts AS text[]), CAST(:raw AS bytea[])"), given).one()
    assert row[0] == texts
    assert [bytes(one) for one in row[1]] == raw


def test_the_log_of_a_bulk_writer_begins_anew_beside_its_work(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    with bulk_session(sessions) as session:
        if not is_sqlite(session):
            pytest.skip("PostgreSQL looks after its log itself")
        log = Path(f"{session.get_bind().engine.url.database}-wal")
        sizes = []
        with closing(Checkpoints(session, every=1)) as checkpoints:
            for number in range(12):
                with writing(session):
                    session.add(_notice(f"n{number}" + "x" * 20, now))
                    session.add(InstallationValue(key=f"k{number}", value="y" * 100_000))
                checkpoints.step()
                checkpoints.close()
                sizes.append(log.stat().st_size)
    assert sizes[-1] == sizes[3], "the log has the size of the first writes again and again"
    with sessions() as session:
        assert session.get(InstallationValue, "k11") is not None


def test_a_senders_connection_keeps_its_statements_prepared_over_a_rollback(
    postgres_url: str,
) -> None:
    engine = make_engine(postgres_url, pool_size=1, by_index=True)
    sessions = make_sessions(engine)
    reading = reading_sessions(sessions)

    def read(number: int) -> None:
        with reading() as session:
            assert session.scalar(text("SELECT CAST(:number AS int)"), {"number": number}) == number

    for number in range(7):
        read(number)
    with sessions() as session:
        session.execute(text("CREATE TABLE gone (id int)"))
        session.rollback()
    read(8)
    with reading() as session:
        query = "SELECT statement FROM pg_prepared_statements"
        assert "AS int" in str(session.scalars(text(query)).all())
        assert session.scalar(text("SELECT to_regclass('gone')")) is None  # it was rolled back
    engine.dispose()

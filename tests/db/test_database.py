"""Transactions, the database's clock and the column types, on both databases."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session, sessionmaker

from database import epoch_now, writing
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

"""A send window in real claims: it pauses and resumes by itself, also where clocks are changed."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from config import Settings
from database import writing
from domain.send_outcomes import Outcome, SendResult
from models import Campaign
from sender.engine import SendEngine
from sender.pool import CHECK_SECONDS
from tests.flow.schedulers import wait_for
from tests.ledger_rows import add_campaign

#: In Berlin clocks go forward in the night before Sunday, 29 March 2026.
FRIDAY_EVENING = datetime(2026, 3, 27, 16, 58, tzinfo=UTC)  # two minutes before 18:00
CLOSES = datetime(2026, 3, 27, 17, 0, tzinfo=UTC)
MONDAY_8_WINTER_TIME = datetime(2026, 3, 30, 7, 0, tzinfo=UTC)
OPENS = datetime(2026, 3, 30, 6, 0, tzinfo=UTC)


class Clock:
    """The database's clock, which runs on from whatever time it is set to."""

    def __init__(self, at: datetime) -> None:
        self.set(at)

    def set(self, at: datetime) -> None:
        self._offset = at.timestamp() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()


class Service:
    """Takes every mail and notes when, by the clock."""

    def __init__(self, clock: Clock) -> None:
        self.times: list[float] = []
        self._clock = clock

    def send(self, mail: Any, guard: Callable[[], bool]) -> SendResult:
        at = self._clock.now()  # before the guard: a starved thread may go on long after it
        if not guard():
            return SendResult(Outcome.NOT_SUBMITTED, code="lease_over")
        self.times.append(at)
        return SendResult(Outcome.ACCEPTED, f"m-{len(self.times)}-{mail.to}")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """SQLite: its clock can be set from within."""
    return sqlite_url


@pytest.fixture
def clock(engine: Engine) -> Clock:
    """The clock of the database under test."""
    clock = Clock(FRIDAY_EVENING)

    def on_connect(connection: Any, record: Any) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.create_function("julianday", 1, lambda _: clock.now() / 86400.0 + 2440587.5)

    event.listen(engine, "connect", on_connect)
    return clock


def test_a_window_closes_and_opens_by_itself_across_a_change_of_clocks(
    clock: Clock, sessions: sessionmaker[Session], settings: Settings
) -> None:
    with sessions() as session, writing(session):
        campaign_id = add_campaign(
            session, 5000, window_days="0,1,2,3,4", window_start="08:00", window_end="18:00",
            window_zone="Europe/Berlin",
        )  # fmt: skip
        rate_limiter.ensure_bucket(session, rate_limiter.SEND, 20.0)
    service = Service(clock)
    engine = SendEngine(settings, sessions, cast(Any, service), "w")
    stop = threading.Event()
    thread = threading.Thread(target=lambda: engine.run(stop))

    def campaign() -> Campaign:
        with sessions() as session:
            return session.get_one(Campaign, campaign_id)

    try:
        thread.start()
        wait_for(lambda: service.times)
        clock.set(CLOSES - timedelta(seconds=1))
        wait_for(lambda: campaign().reason_code == "window")
        wait_for(lambda: engine.in_hand == 0)
        before = len(service.times)
        assert max(service.times) < CLOSES.timestamp() + CHECK_SECONDS
        said = campaign()
        assert said.waiting_until == OPENS != MONDAY_8_WINTER_TIME
        assert "08:00 to 18:00 (Europe/Berlin)" in (said.reason or "")
        clock.set(datetime(2026, 3, 28, 10, 0, tzinfo=UTC))  # a Saturday
        wait_for(_passes(clock, 1.0))
        assert len(service.times) == before
        clock.set(datetime(2026, 3, 30, 5, 59, 59, tzinfo=UTC))
        wait_for(lambda: len(service.times) > before)
        assert min(service.times[before:]) >= OPENS.timestamp()
        wait_for(lambda: campaign().reason_code is None)
    finally:
        stop.set()
        thread.join()


def _passes(clock: Clock, seconds: float) -> Callable[[], bool]:
    until = clock.now() + seconds
    return lambda: clock.now() > until

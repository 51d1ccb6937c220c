"""The shared bucket: the SQL does what domain.pacing says, for many workers at once."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from database import epoch_now, writing
from domain import pacing
from domain.pacing import AccountLimits
from models import Bucket
from rate_limiter import SEND, AccountReading


def set_bucket(session: Session, **values: object) -> None:
    with writing(session):
        session.execute(update(Bucket).where(Bucket.name == SEND).values(**values))


def database_now(session: Session) -> float:
    return session.scalar(select(epoch_now())) or 0.0


def test_draw_is_the_arithmetic_of_pacing(session: Session) -> None:
    for rate in (0.5, 14.0, 1000.0):
        for ahead in (-5.0, 0.0, 0.07, 0.09):
            set_bucket(session, rate=rate, ceiling=rate, next_slot=database_now(session) + ahead)
            before = rate_limiter.read(session)
            assert before is not None
            with writing(session):
                slots = rate_limiter.draw(session, 3)
            assert slots is not None
            expected = pacing.draw(before.next_slot, slots.database_now, rate, 3)
            assert expected is not None
            assert slots.draw.slots() == pytest.approx(expected.slots(), abs=0.02)
            after = rate_limiter.read(session)
            assert after is not None
            assert after.next_slot == pytest.approx(slots.draw.next_slot, abs=1e-5)


def test_no_slot_beyond_the_horizon(session: Session) -> None:
    set_bucket(session, rate=0.1, next_slot=database_now(session) + 20.0)
    with writing(session):
        assert rate_limiter.draw(session, 1) is None


def test_a_clock_set_back_by_an_hour_does_not_stop_the_bucket(session: Session) -> None:
    set_bucket(session, rate=10.0, next_slot=database_now(session) + 3600)
    with writing(session):
        slots = rate_limiter.draw(session, 1)
    assert slots is not None
    assert slots.draw.first < slots.database_now + 0.2


def test_draw_stops_where_the_quota_less_the_reserve_is_used_up(session: Session) -> None:
    set_bucket(
        session, rate=1000.0, max_24_hour_send=100.0, sent_last_24_hours=80.0, sent_here=5,
        next_slot=0.0,
    )  # fmt: skip
    with writing(session):
        assert rate_limiter.draw(session, 6, reserve_percent=10) is None
        assert rate_limiter.draw(session, 5, reserve_percent=10) is not None
    state = rate_limiter.read(session)
    assert state is not None
    assert state.quota_left(10) == 0


def test_mails_that_did_not_leave_use_no_quota(session: Session) -> None:
    set_bucket(session, rate=1000.0, max_24_hour_send=100.0, sent_last_24_hours=90.0, next_slot=0.0)
    with writing(session):
        assert rate_limiter.draw(session, 10) is not None
        rate_limiter.give_back(session, 4)
    state = rate_limiter.read(session)
    assert state is not None
    assert state.quota_left(0) == 4
    set_bucket(session, next_slot=0.0)
    with writing(session):
        assert rate_limiter.draw(session, 20, quota=5) is None
        assert rate_limiter.draw(session, 20, quota=4) is not None
        rate_limiter.give_back(session, 1000)
    state = rate_limiter.read(session)
    assert state is not None
    assert state.quota_left(0) == 10


def test_quota_of_minus_one_is_unlimited(session: Session) -> None:
    set_bucket(session, rate=1000.0, max_24_hour_send=-1.0, sent_last_24_hours=1e9, next_slot=0.0)
    with writing(session):
        assert rate_limiter.draw(session, 5, reserve_percent=10) is not None
    state = rate_limiter.read(session)
    assert state is not None
    assert state.quota_left(10) is None


def test_four_threads_together_never_draw_one_slot_twice(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        set_bucket(session, rate=400.0, ceiling=400.0, next_slot=0.0)
    slots: list[float] = []

    def work() -> None:
        with sessions() as mine:
            for _ in range(12):
                while True:
                    with writing(mine):
                        got = rate_limiter.draw(mine, 5)
                    if got is not None:
                        break
                    time.sleep(0.005)
                slots.extend(got.draw.slots())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slots.sort()
    assert len(slots) == 4 * 12 * 5
    gaps = [later - earlier for earlier, later in itertools.pairwise(slots)]
    assert min(gaps) >= pacing.interval(400.0) - 1e-4


def test_throttles_of_several_workers_in_one_second_halve_once(session: Session) -> None:
    set_bucket(session, rate=100.0, ceiling=100.0)
    with writing(session):
        rate_limiter.report_calls(session, 50, 1)
        rate_limiter.report_calls(session, 10, 5)
    state = rate_limiter.read(session)
    assert state is not None
    assert state.pace.rate == 50
    assert "Slowed down to 50 a second" in (state.rate_reason or "")


def test_only_one_process_reads_the_account_in_a_minute(sessions: sessionmaker[Session]) -> None:
    with sessions() as one, sessions() as two:
        with writing(one):
            assert rate_limiter.lease_account_reading(one, 60)
        with writing(two):
            assert not rate_limiter.lease_account_reading(two, 60)
        with writing(one):
            reading = AccountReading(AccountLimits(14, 50_000, 10), True, True, "HEALTHY")
            rate_limiter.store_account(one, reading, wanted_rate=100, reserve_percent=10)
        with writing(two):
            assert not rate_limiter.lease_account_reading(two, 60)


def test_account_puts_the_ceiling_in_force_and_says_why(session: Session) -> None:
    reading = AccountReading(AccountLimits(14, 50_000, 10), True, True, "HEALTHY")
    with writing(session):
        rate_limiter.store_account(session, reading, wanted_rate=100, reserve_percent=10)
    state = rate_limiter.read(session)
    assert state is not None
    assert state.pace.rate == pytest.approx(12.6)
    assert state.rate_reason == (
        "The SES account allows 14 mails a second, less 10% left to other senders."
    )
    with writing(session):
        rate_limiter.store_account(session, reading, wanted_rate=5, reserve_percent=10)
    state = rate_limiter.read(session)
    assert state is not None
    assert state.pace.rate == 5
    assert "Raise MAX_EMAILS_PER_SECOND" in (state.rate_reason or "")


def test_unreadable_account_keeps_the_last_figures(session: Session) -> None:
    reading = AccountReading(AccountLimits(14, 200, 10), True, False, "HEALTHY")
    denied = AccountReading(AccountLimits(), error="AWS said AccessDenied.")
    with writing(session):
        rate_limiter.store_account(session, reading, wanted_rate=100, reserve_percent=0)
        rate_limiter.store_account(session, denied, wanted_rate=100, reserve_percent=0)
    state = rate_limiter.read(session)
    assert state is not None
    assert (state.pace.rate, state.account_error) == (14, "AWS said AccessDenied.")
    assert state.quota_left(0) == 190


def test_quota_refused_by_ses_blocks_for_a_while_and_asks_anew(session: Session) -> None:
    with writing(session):
        rate_limiter.block_quota(session, 60)
    state = rate_limiter.read(session)
    assert state is not None
    assert state.quota_left(10) == 0
    with writing(session):
        assert rate_limiter.lease_account_reading(session, 60)

"""Accounts and the throttle on guessing, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from models import LoginThrottle, User
from services import users
from services.users import UserProblem

PASSWORD = "a long sentence"


def test_an_account_knows_its_password_and_no_other(session: Session, now: datetime) -> None:
    with writing(session):
        user = users.create_user(session, " Ann@Example.COM ", PASSWORD, now)
    assert user.email == "ann@example.com"
    assert PASSWORD not in user.password_hash
    found = users.find_user(session, "ANN@example.com")
    assert found is not None
    assert users.password_is_right(found.password_hash, PASSWORD)
    assert not users.password_is_right(found.password_hash, PASSWORD.upper())
    assert not users.password_is_right(None, PASSWORD)
    assert not users.password_is_right(found.password_hash, "x" * 2000)


def test_a_password_that_was_changed_meanwhile_is_not_replaced(
    session: Session, now: datetime
) -> None:
    with writing(session):
        user = users.create_user(session, "ann@example.com", PASSWORD, now)
    checked, key = user.password_hash, user.session_key
    with writing(session):
        users.replace_hash(session, user.id, checked, users.hash_new("another sentence"))
    assert user.session_key != key
    with pytest.raises(UserProblem, match="changed a moment ago"), writing(session):
        users.replace_hash(session, user.id, checked, users.hash_new("a third sentence"))
    assert users.password_is_right(user.password_hash, "another sentence")


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("nothing", PASSWORD, "@"),
        ("b@example.com", "seven77", "at least 8"),
        ("b@example.com", "x" * 1025, "at most 1024"),
        ("ANN@example.com", PASSWORD, "There is an account for ann@example.com already."),
    ],
)
def test_accounts_are_refused_in_words(
    session: Session, now: datetime, email: str, password: str, sentence: str
) -> None:
    with writing(session):
        users.create_user(session, "ann@example.com", PASSWORD, now)
    with pytest.raises(UserProblem, match=sentence):
        users.create_user(session, email, password, now)
    session.rollback()
    assert session.scalar(select(func.count()).select_from(User)) == 1


def test_only_one_of_many_makes_the_first_account(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    def ask(number: int) -> bool:
        try:
            with sessions() as session, writing(session):
                users.create_first_user(session, f"p{number}@example.com", PASSWORD, now)
        except UserProblem:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, range(4))) == 1


def test_attempts_at_the_same_moment_get_no_more_tries(
    sessions: sessionmaker[Session], now: datetime
) -> None:
    def ask(number: int) -> int:
        with sessions() as session, writing(session):
            return users.take_attempt(session, "ann@example.com", "192.0.2.1", now).wait_seconds

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(ask, range(24)))
    assert waits.count(0) == 5
    assert max(waits) <= 31


def test_locks_double_end_and_are_forgotten(session: Session, now: datetime) -> None:
    def take(at: datetime) -> int:
        with writing(session):
            return users.take_attempt(session, "ann@example.com", "192.0.2.1", at).wait_seconds

    assert [take(now) for _ in range(6)] == [0, 0, 0, 0, 0, 31]
    later = now + timedelta(seconds=30)
    assert [take(later), take(later)] == [0, 61]
    assert take(now + timedelta(hours=3)) == 0
    with writing(session):
        users.take_attempt(session, "bob@example.com", "192.0.2.2", now + timedelta(days=3))
    assert session.scalar(select(func.count()).select_from(LoginThrottle)) == 3


def test_one_guesser_does_not_lock_the_owner_out(session: Session, now: datetime) -> None:
    with writing(session):
        for _ in range(20):
            users.take_attempt(session, "ann@example.com", "192.0.2.66", now)
        assert users.take_attempt(session, "ann@example.com", "192.0.2.1", now).wait_seconds == 0
        assert users.take_attempt(session, "ann@example.com", "192.0.2.66", now).wait_seconds


def test_success_clears_the_way_and_ended_sessions_stay_ended(
    session: Session, now: datetime
) -> None:
    with writing(session):
        user = users.create_user(session, "ann@example.com", PASSWORD, now)
        attempt = users.take_attempt(session, user.email, "192.0.2.1", now)
        users.note_success(session, user, attempt, now)
        before = user.session_key
        users.end_sessions(session, user.id)
    assert user.session_key != before
    assert user.last_login_at == now
    assert session.scalar(select(func.count()).select_from(LoginThrottle)) == 0

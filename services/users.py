"""People who may sign in: making accounts, checking passwords, slowing down guessing.

Attempts are counted in the database before a password is looked at, so that many at once from
many hosts get no more tries than one. Hashing is limited to a few at a time: each takes 64 MiB.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from database import is_sqlite
from domain.addresses import AddressProblem, address_key, check_syntax
from models import InstallationValue, LoginThrottle, User

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024
#: How many passwords this process hashes at the same time, and how long others wait, in seconds.
_PARALLEL_HASHES = 2
_HASH_WAIT_SECONDS = 10
#: Failures that are free, by kind of key; the lock then doubles from the first to the longest.
_FREE_FAILURES = {"pair": 5, "client": 30, "account": 60}
_FIRST_LOCK = timedelta(seconds=30)
_LONGEST_LOCK = timedelta(minutes=15)
_FORGET_AFTER = timedelta(hours=1)
_DROP_AFTER = timedelta(days=1)

_hasher = PasswordHasher()
_slots = threading.BoundedSemaphore(_PARALLEL_HASHES)


class UserProblem(Exception):
    """The account cannot be made; the message says why and what to do."""


class TooManyAtOnce(Exception):
    """The hashing slots stayed busy: ask again in a few seconds."""


@dataclass(frozen=True)
class Attempt:
    """Whether a password may be looked at now; `wait_seconds` > 0 says no."""

    keys: tuple[str, ...]
    wait_seconds: int


def has_users(session: Session) -> bool:
    """Whether a first account exists."""
    return session.scalar(select(User.id).limit(1)) is not None


def find_user(session: Session, email: str) -> User | None:
    """The account with this address, however it is cased."""
    return session.scalar(select(User).where(User.email == _normal(email)))


def create_user(session: Session, email: str, password: str, now: datetime) -> User:
    """A new account; raises UserProblem for a bad address, a weak password or a known account."""
    address = check_syntax(email.strip())
    if isinstance(address, AddressProblem):
        raise UserProblem(str(address))
    _check_length(password)
    if find_user(session, email):
        raise UserProblem(f"There is an account for {_normal(email)} already.")
    user = User(
        email=_normal(email),
        password_hash=_hash(password),
        session_key=secrets.token_hex(16),
        created_at=now,
    )
    session.add(user)
    session.flush()
    return user


def create_first_user(session: Session, email: str, password: str, now: datetime) -> User:
    """The first account, made once however many ask at the same time."""
    session.get(InstallationValue, "address_key", with_for_update=True)  # one at a time
    if has_users(session):
        raise UserProblem("Somebody made the first account a moment ago. Sign in instead.")
    return create_user(session, email, password, now)


def take_attempt(session: Session, email: str, client: str, now: datetime) -> Attempt:
    """Count one attempt before the password is looked at; call inside a writing step.

    A successful sign-in gives it back through `note_success`.
    """
    account = _normal(email)[:320]
    keys = {
        "pair": f"{account} {client}"[:400],
        "client": f"client {client}"[:400],
        "account": f"account {account}"[:400],
    }
    session.execute(delete(LoginThrottle).where(LoginThrottle.updated_at < now - _DROP_AFTER))
    rows = {kind: _throttle(session, key, now) for kind, key in keys.items()}
    locks = [row.locked_until for row in rows.values() if row.locked_until]
    wait = max(((lock - now).total_seconds() for lock in locks), default=0.0)
    if wait > 0:
        return Attempt(tuple(keys.values()), int(wait) + 1)
    for kind, row in rows.items():
        row.failures += 1
        row.updated_at = now
        over = row.failures - _FREE_FAILURES[kind]
        if over >= 0:
            row.locked_until = now + min(_LONGEST_LOCK, _FIRST_LOCK * 2 ** min(over, 10))
    session.flush()
    return Attempt(tuple(keys.values()), 0)


def note_success(session: Session, user: User, attempt: Attempt, now: datetime) -> None:
    """Forget the failures of this person and remember when they came."""
    session.execute(delete(LoginThrottle).where(LoginThrottle.key.in_(attempt.keys)))
    user.last_login_at = now
    session.flush()


def password_is_right(known: str | None, password: str) -> bool:
    """Whether the password has the known hash; takes as long when there is no account (None).

    Call it with no transaction open. Raises TooManyAtOnce.
    """
    if len(password) > LONGEST_PASSWORD:
        return False
    if not _slots.acquire(timeout=_HASH_WAIT_SECONDS):
        raise TooManyAtOnce
    try:
        return _hasher.verify(known or _nobody(), password) and known is not None
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _slots.release()


def set_password(session: Session, email: str, password: str) -> User:
    """Another password for an account; whoever is signed in to it has to sign in again.

    Raises UserProblem for an unknown account or a weak password.
    """
    user = find_user(session, email)
    if user is None:
        raise UserProblem(f"There is no account for {_normal(email)}.")
    _check_length(password)
    user.password_hash = _hash(password)
    end_sessions(session, user.id)
    return user


def hash_new(password: str) -> str:
    """The hash of a password that somebody chose; raises UserProblem when it is weak.

    Takes a while: call it with no transaction open. Raises TooManyAtOnce.
    """
    _check_length(password)
    return _hash(password)


def replace_hash(session: Session, user_id: int, checked: str, fresh: str) -> User:
    """Put a new password's hash in place of the one that was `checked`; end all sessions.

    Raises UserProblem when the password was changed meanwhile.
    """
    user = session.get_one(User, user_id, with_for_update=True, populate_existing=True)
    if user.password_hash != checked:
        raise UserProblem("The password was changed a moment ago. Sign in with the new one.")
    user.password_hash = fresh
    end_sessions(session, user.id)
    return user


def end_sessions(session: Session, user_id: int) -> None:
    """Make every cookie of this person worthless, also a copied one."""
    user = session.get(User, user_id)
    if user:
        user.session_key = secrets.token_hex(16)
        session.flush()


def _throttle(session: Session, key: str, now: datetime) -> LoginThrottle:
    """The row of a key, made if it is missing, locked until the step ends."""
    insert = sqlite_insert if is_sqlite(session) else postgres_insert
    values = {"key": key, "failures": 0, "updated_at": now}
    session.execute(insert(LoginThrottle).values(values).on_conflict_do_nothing())
    row = session.get_one(LoginThrottle, key, with_for_update=True, populate_existing=True)
    if now - row.updated_at > _FORGET_AFTER:
        row.failures, row.locked_until = 0, None
    return row


def _check_length(password: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise UserProblem(f"The password needs at least {SHORTEST_PASSWORD} characters.")
    if len(password) > LONGEST_PASSWORD:
        raise UserProblem(f"The password may have at most {LONGEST_PASSWORD} characters.")


def _normal(email: str) -> str:
    return address_key(email) if "@" in email else email.strip().lower()


def _hash(password: str) -> str:
    if not _slots.acquire(timeout=_HASH_WAIT_SECONDS):
        raise TooManyAtOnce
    try:
        return _hasher.hash(password)
    finally:
        _slots.release()


_nobody_lock = threading.Lock()
_nobody_hash: list[str] = []


def _nobody() -> str:
    """A hash that no password matches, made once: unknown accounts take as long as known ones."""
    with _nobody_lock:
        if not _nobody_hash:
            _nobody_hash.append(_hasher.hash(secrets.token_hex(16)))
    return _nobody_hash[0]

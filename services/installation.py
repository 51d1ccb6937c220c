"""What belongs to this installation alone: its id, its keys, and small learned values."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from functools import lru_cache

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from models import Bucket, InstallationValue

_INSTALL_ID = "install_id"
_ADDRESS_KEY = "address_key"
_SETUP_TOKEN_HASH = "setup_token_hash"  # noqa: S105 - a name, no secret


def ensure_installation(session: Session) -> None:
    """Make the installation's id, its secret and the bucket row, once; later calls do nothing."""
    defaults = {
        _INSTALL_ID: secrets.token_hex(8),
        _ADDRESS_KEY: secrets.token_hex(32),
    }
    for key, value in defaults.items():
        if session.get(InstallationValue, key) is None:
            session.add(InstallationValue(key=key, value=value))
    if session.get(Bucket, "send") is None:
        session.add(Bucket(name="send"))
    session.flush()


#: Read in every transaction that stores events: made once.
_VALUE = select(InstallationValue.value).where(InstallationValue.key == bindparam("key"))


def get_value(session: Session, key: str) -> str | None:
    """A stored value, or None."""
    return session.scalar(_VALUE, {"key": key})


def set_value(session: Session, key: str, value: str) -> None:
    """Store a value under a key."""
    session.merge(InstallationValue(key=key, value=value))
    session.flush()


def installation_id(session: Session) -> str:
    """The value of the tag `bes_install`: tells our events from another installation's."""
    return _required(session, _INSTALL_ID)


def address_key_secret(session: Session) -> bytes:
    """The 32-byte key of address hashes and unsubscribe tokens; made with the schema.

    Never SECRET_KEY: links in mails must work for years, whatever happens to sessions.
    """
    return _decode(_required(session, _ADDRESS_KEY))


@lru_cache(maxsize=8)
def _decode(value: str) -> bytes:
    return bytes.fromhex(value)


def _required(session: Session, key: str) -> str:
    value = get_value(session, key)
    if value is None:
        raise RuntimeError("The database has no schema yet. Run: python update_db_schema.py")
    return value


def new_setup_token(session: Session) -> str:
    """A fresh one-time token for the first account; an earlier one stops working."""
    token = secrets.token_urlsafe(18)
    set_value(session, _SETUP_TOKEN_HASH, hashlib.sha256(token.encode()).hexdigest())
    return token


def is_setup_token(session: Session, token: str) -> bool:
    """Whether this is the token that the last start printed."""
    stored = get_value(session, _SETUP_TOKEN_HASH) or ""
    given = hashlib.sha256(token.strip().encode()).hexdigest()
    return bool(stored) and hmac.compare_digest(stored, given)


def drop_setup_token(session: Session) -> None:
    """The first account exists: the token is spent."""
    set_value(session, _SETUP_TOKEN_HASH, "")

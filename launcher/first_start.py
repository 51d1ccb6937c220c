"""The first start: a `.env` with a key of its own, the first account, and the words about both."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config import ROOT, Settings
from database import make_engine, make_sessions, writing
from services.installation import new_setup_token
from services.schema import NEEDED_VERSION, current_version
from services.users import UserProblem, create_first_user, has_users


def write_env_file(root: Path = ROOT) -> bool:
    """Copy `.env.example` to `.env` with a fresh SECRET_KEY, if there is no `.env`."""
    target = root / ".env"
    if target.exists():
        return False
    lines = (root / ".env.example").read_text(encoding="utf-8").splitlines()
    key = f"SECRET_KEY={secrets.token_hex(32)}"
    text = "\n".join(key if line.startswith("SECRET_KEY=") else line for line in lines) + "\n"
    target.touch(mode=0o600)
    target.write_text(text, encoding="utf-8")
    return True


def schema_problem(settings: Settings) -> str | None:
    """Why the database cannot be used as it is, in a sentence; None when it can."""
    engine = make_engine(settings.database_url)
    try:
        with make_sessions(engine)() as session:
            version = current_version(session)
    except SQLAlchemyError as error:
        return f"The database does not answer: {getattr(error, 'orig', None) or error}"
    finally:
        engine.dispose()
    if version == NEEDED_VERSION:
        return None
    if version is not None and version > NEEDED_VERSION:
        return f"The database was used with a newer version (schema {version}): update the product."
    return "The database does not have this version's tables. Run: python update_db_schema.py"


def welcome(settings: Settings) -> list[str]:
    """What to print once the port is open: where to go, and how to make the first account."""
    address = f"http://127.0.0.1:{settings.port}"
    ready = f"Bulk Email Scheduler is ready: {settings.public_base_url or address}"
    return [ready, *account_lines(settings, address)]


def account_lines(settings: Settings, address: str) -> list[str]:
    """How to make the first account, with a new one-time token; empty once there is one.

    Makes that account from ADMIN_EMAIL and ADMIN_PASSWORD if both are set.
    """
    engine = make_engine(settings.database_url)
    try:
        with make_sessions(engine)() as session, writing(session):
            if has_users(session):
                return []
            if settings.admin_email:
                return [_make_admin(settings, session)]
            return [f"Make the first account: {address}/setup?token={new_setup_token(session)}"]
    finally:
        engine.dispose()


def _make_admin(settings: Settings, session: Session) -> str:
    try:
        create_first_user(session, settings.admin_email, settings.admin_password, datetime.now(UTC))
    except UserProblem as problem:
        return f"No account was made from ADMIN_EMAIL and ADMIN_PASSWORD: {problem}"
    return f"Made the account of {settings.admin_email}."

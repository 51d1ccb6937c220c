"""What every test may ask for: databases, sessions, settings, the simulator, the application.

`database_url` runs a test once on SQLite and once on PostgreSQL; each run gets a fresh database
that already has the schema. Tests reach nothing but loopback and read no file of your own.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from database import make_engine, make_sessions, writing
from models import Base
from services.installation import ensure_installation
from services.schema import NEEDED_VERSION
from tests.postgres import PostgresMissing, PostgresServer, start_postgres

ROOT = Path(__file__).resolve().parents[1]
_MISSING = "not on this machine: "
#: Without the development tools a plain installation still runs everything but the browser.
_NO_BROWSER_TOOLS = [
    name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None
]
collect_ignore = ["browser"] if _NO_BROWSER_TOOLS else []


def skip_missing(part: str) -> None:
    """Skip a test for want of a part of the machine; the summary lists such parts at the end."""
    pytest.skip(_MISSING + part)


def pytest_configure(config: pytest.Config) -> None:
    """Cut the tests off from the outside: no settings, no home folder, no foreign host."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "SES_", "SNS_", "SQS_", "FLASK_", "BES_")):
            del os.environ[name]
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "FLASK_SKIP_DOTENV": "1",
    }
    sys.addaudithook(_loopback_only)
    with suppress(ImportError):  # a plain installation is without it
        from hypothesis import settings

        # On a loaded machine a measured example says nothing about the code; and a run that
        # draws its own examples fails for what another change has done.
        settings.register_profile("tests", deadline=None, derandomize=True)
        settings.load_profile("tests")


def _loopback_only(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not isinstance(arguments[1], tuple):
        return
    host = str(arguments[1][0])
    if not (host.startswith("127.") or host in ("::1", "localhost", "")):
        raise RuntimeError(f"a test tried to reach {host}: tests may use loopback only")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say in the last lines which parts could not be tested here."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if _MISSING in text:
            reasons[text.partition(_MISSING)[2]] += 1
    if _NO_BROWSER_TOOLS:
        terminalreporter.section("Left out")
        terminalreporter.line("tests/browser needs: pip install -r requirements-dev.txt")
    if not reasons:
        return
    terminalreporter.section("Could not be tested on this machine")
    for reason, count in sorted(reasons.items()):
        terminalreporter.line(f"{count} tests need what is missing: {reason}")


def _make_schema(url: str) -> None:
    engine = make_engine(url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": NEEDED_VERSION})
    with writing(make_sessions(engine)()) as session:
        ensure_installation(session)
    engine.dispose()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    _make_schema(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with one database, `bes`, that has the schema; skips without one."""
    try:
        server = start_postgres()
    except PostgresMissing as missing:
        skip_missing(f"PostgreSQL ({missing})")
        raise
    try:
        server.execute("CREATE DATABASE bes")
        _make_schema(server.url("bes"))
        server.remember_contents("bes")
        yield server
    finally:
        server.stop()


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite database with the schema."""
    path = tmp_path / "test.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A fresh PostgreSQL database with the schema."""
    yield postgres.url("bes")
    postgres.reset("bes")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database with the schema; the test runs once for each kind."""
    kind = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(kind))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine of the product on `database_url`."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    """The session factory that schedulers and commands get."""
    return make_sessions(engine)


@pytest.fixture
def session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One session; write inside `with writing(session):`."""
    with sessions() as session:
        yield session


@pytest.fixture
def now() -> datetime:
    """A Monday morning in UTC."""
    return datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def material() -> Path:
    """Sample files kept beside the repository; skips where they are not."""
    path = Path(os.environ.get("TEST_MATERIAL", ROOT.parent / "shared" / "material"))
    if not path.is_dir():
        skip_missing(f"the sample files in {path.name}/ (set TEST_MATERIAL to their folder)")
    return path


@pytest.fixture
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of an installation under test, for `Settings` and for child processes.

    It uses `database_url` if the test does, or else a SQLite database of its own, and the
    simulator if the test runs one.
    """
    names = request.fixturenames
    database = request.getfixturevalue("database_url" if "database_url" in names else "sqlite_url")
    environment = {
        "DATABASE_URL": str(database),
        "SECRET_KEY": "a key for tests, made of more than thirty-two characters",
        "EMAIL_BACKEND": "simulator",
        "SENDER_EMAIL": "news@example.com",
        "SENDER_NAME": "Example News",
        "POSTAL_ADDRESS": "1 Example Street, Example Town",
        "SES_CONFIGURATION_SET": "bes",
        "SNS_TOPIC_ARN": "arn:aws:sns:us-east-1:000000000000:bes-events",
        "AWS_REGION": "us-east-1",
        "SCHEDULER": "external",
    }
    if "simulator" in names:
        port = request.getfixturevalue("simulator").url.rpartition(":")[2]
        environment["SIMULATOR_PORT"] = port
        environment["SQS_QUEUE_URL"] = f"http://127.0.0.1:{port}/000000000000/bes-events"
    return environment


@pytest.fixture
def settings(environment: dict[str, str]) -> Any:
    """The product's settings for a test."""
    from config import Settings

    return Settings.from_env(environment)


@pytest.fixture
def simulator() -> Iterator[Any]:
    """A running SES simulator of its own: `.url`, `.outbox`, `.faults`."""
    from ses_simulator.server import start

    simulator = start(port=0)
    yield simulator
    simulator.stop()


@pytest.fixture(scope="session")
def _quick_apps() -> None:
    from tests.quick_apps import keep_what_is_compiled

    keep_what_is_compiled()


@pytest.fixture
def app(_quick_apps: None, settings: Any) -> Iterator[Any]:
    """The web application on the test's database."""
    from app import create_app

    app = create_app(settings)
    app.testing = True
    app.config["LIVE_KEPT_SECONDS"] = 0  # a test sees its own change at once
    yield app
    app.extensions["bes"].engine.dispose()


@pytest.fixture
def client(app: Any) -> Any:
    """A browser that is not logged in."""
    return app.test_client()


@pytest.fixture
def logged_in(app: Any, client: Any, now: datetime) -> Any:
    """A browser of a logged-in owner."""
    from models import User
    from web.auth import SignedIn
    from web.database import db

    with app.app_context(), writing(db.session()):
        user = User(email="owner@example.com", password_hash="-", session_key="0" * 32,
                    created_at=now)  # fmt: skip
        db.session.add(user)
        db.session.flush()
        identity = SignedIn(user).get_id()
    with client.session_transaction() as stored:
        stored["_user_id"] = identity
        stored["_fresh"] = True
    return client


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The real clock, for the parts that take one."""
    return lambda: datetime.now(UTC)

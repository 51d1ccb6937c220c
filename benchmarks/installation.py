"""An installation for a benchmark: fresh database, simulator, campaigns, scheduler processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session, sessionmaker

from database import make_engine, make_sessions, writing
from domain.addresses import key_hash
from domain.statuses import CampaignStatus, RecipientStatus
from models import Base, Campaign, CampaignCounters, Recipient
from services.installation import address_key_secret, ensure_installation
from services.schema import NEEDED_VERSION

ROOT = Path(__file__).resolve().parents[1]
_ROWS_AT_ONCE = 5000


@dataclass(frozen=True)
class Installation:
    """A database with the schema, and the environment of programs that work on it."""

    environment: dict[str, str]
    engine: Engine
    sessions: sessionmaker[Session]

    def scheduler(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """A scheduler process of this installation."""
        return subprocess.Popen(
            [sys.executable, str(ROOT / "scheduler.py"), *arguments],
            env={**os.environ, **self.environment, **settings},
            stderr=subprocess.DEVNULL,
        )

    def campaign(self, recipients: int, html: str = "<p>Hello {{ name }}</p>") -> int:
        """A campaign that is sending, with this many pending recipients; its id."""
        now = datetime.now(UTC)
        with self.sessions() as session, writing(session):
            secret = address_key_secret(session)
            campaign = Campaign(
                name="Benchmark", subject="News for {{ name }}", html=html, text="",
                from_email="news@example.com", status=CampaignStatus.SENDING, variables=["name"],
                created_at=now, updated_at=now, launched_at=now, configuration_set="bes",
                tracking_in_force="full",
            )  # fmt: skip
            session.add(campaign)
            session.flush()
            session.add(
                CampaignCounters(campaign_id=campaign.id, total=recipients, pending=recipients)
            )
            campaign_id = campaign.id
        for start in range(0, recipients, _ROWS_AT_ONCE):
            numbers = range(start, min(start + _ROWS_AT_ONCE, recipients))
            with self.sessions() as session, writing(session):
                session.execute(
                    insert(Recipient),
                    [
                        {
                            "campaign_id": campaign_id,
                            "email": f"person{n}@example.com",
                            "address": f"person{n}@example.com",
                            "address_hash": key_hash(secret, f"person{n}@example.com"),
                            "variables": f'{{"name": "Person {n}"}}',
                            "status": RecipientStatus.PENDING,
                            "updated_at": now,
                        }
                        for n in numbers
                    ],
                )
        return campaign_id


@contextmanager
def installation(simulator_url: str, database_url: str = "") -> Iterator[Installation]:
    """A fresh installation on SQLite, or on an empty database that is given."""
    with tempfile.TemporaryDirectory() as folder:
        url = database_url or f"sqlite:///{folder}/benchmark.db"
        engine = make_engine(url)
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")
            connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
            connection.execute(
                text("INSERT INTO alembic_version VALUES (:v)"), {"v": NEEDED_VERSION}
            )
        sessions = make_sessions(engine)
        with sessions() as session, writing(session):
            ensure_installation(session)
        port = simulator_url.rpartition(":")[2]
        environment = {
            "DATABASE_URL": url,
            "SECRET_KEY": "a key for benchmarks of more than thirty-two characters",
            "EMAIL_BACKEND": "simulator",
            "SIMULATOR_PORT": port,
            "SENDER_EMAIL": "news@example.com",
            "SES_CONFIGURATION_SET": "bes",
            "POSTAL_ADDRESS": "1 Example Street, Example Town",
            "PAUSE_AT_BOUNCE_PERCENT": "0",
            "PAUSE_AT_COMPLAINT_PERCENT": "0",
        }
        try:
            yield Installation(environment, engine, sessions)
        finally:
            engine.dispose()

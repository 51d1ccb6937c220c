"""What machines ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app import create_app
from database import writing
from domain.statuses import Fact
from services import workers
from tests.factories import add_campaign, add_recipients
from web.database import db


def test_a_living_process_answers(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}


def test_readiness_tells_the_age_of_the_scheduler(
    app: Flask, client: FlaskClient, now: datetime
) -> None:
    assert client.get("/readyz").get_json() == {"status": "ok", "scheduler_age_seconds": None}
    with app.app_context(), writing(db.session()):
        workers.beat(db.session(), "host:1:a", "scheduler", {}, now)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert 0 <= answer.get_json()["scheduler_age_seconds"] < 60


def test_an_old_schema_is_not_ready(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), writing(db.session()):
        db.session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "update_db_schema" in answer.get_json()["reason"]


def test_a_database_without_tables_is_not_ready(settings: Any, tmp_path: Any) -> None:
    empty = create_app(replace(settings, database_url=f"sqlite:///{tmp_path}/empty.db"))
    answer = empty.test_client().get("/readyz")
    empty.extensions["bes"].engine.dispose()
    assert answer.status_code == 503
    assert answer.get_json()["status"] == "unavailable"


def test_metrics_need_their_token(settings: Any, client: FlaskClient, now: datetime) -> None:
    assert client.get("/metrics").status_code == 404
    app = create_app(replace(settings, metrics_token="a token for scraping"))
    with app.app_context(), writing(db.session()):
        campaign = add_campaign(db.session(), now)
        add_recipients(db.session(), campaign, ["a@example.com", "b@example.com"], now)
        facts = Fact.CLAIMED | Fact.ACCEPTED | Fact.DELIVERED
        add_recipients(db.session(), campaign, ["c@example.com"], now, facts=facts)
    scraper = app.test_client()
    assert scraper.get("/metrics").status_code == 401
    wrong = scraper.get("/metrics", headers={"Authorization": "Bearer another"})
    assert wrong.status_code == 401
    answer = scraper.get("/metrics", headers={"Authorization": "Bearer a token for scraping"})
    app.extensions["bes"].engine.dispose()
    lines = answer.get_data(as_text=True).splitlines()
    assert 'bes_recipients{status="pending"} 2.0' in lines
    assert 'bes_recipients{status="delivered"} 1.0' in lines
    assert 'bes_campaigns{status="draft"} 1.0' in lines
    assert "bes_scheduler_age_seconds NaN" in lines

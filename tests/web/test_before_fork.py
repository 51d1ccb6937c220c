"""What gunicorn shares between its workers: an application that has opened nothing yet."""

from __future__ import annotations

import threading

import pytest
from flask import Flask
from sqlalchemy import QueuePool, event
from sqlalchemy.exc import OperationalError

from app import create_app
from config import Settings
from web.warm_up import warm_up


def test_the_application_holds_no_connection_and_no_thread_before_its_first_request(
    settings: Settings,
) -> None:
    threads = threading.active_count()
    pool = create_app(settings).extensions["bes"].engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedin() + pool.checkedout() == 0
    assert threading.active_count() == threads


def test_a_page_is_made_before_the_workers_and_leaves_nothing_open(app: Flask) -> None:
    engine = app.extensions["bes"].engine
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    threads = threading.active_count()
    warm_up(app)
    assert [statement for statement in asked if "FROM campaigns" in statement]
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedin() + pool.checkedout() == 0
    assert threading.active_count() == threads


def test_a_database_that_is_away_holds_no_start_up(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    event.listen(app.extensions["bes"].engine, "before_cursor_execute", fail)
    warm_up(app)
    assert "did not answer" in caplog.text

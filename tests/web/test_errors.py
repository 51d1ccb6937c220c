"""Error pages say what happened and lead back; a form does its work once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import create_app
from database import writing
from tests.web.forms import main_words, page, post
from web import once
from web.database import db


def test_strangers_get_a_page_without_the_menu(client: FlaskClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in main_words(answer)
    assert not page(answer).xpath("//nav")


def test_stale_forms_are_explained(logged_in: FlaskClient) -> None:
    answer = logged_in.post("/theme/dark", data={"csrf_token": "old"})
    assert answer.status_code == 400
    assert "This form has gone stale" in main_words(answer)


def test_wrong_method_is_explained(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/logout")
    assert answer.status_code == 405
    assert "Nothing was changed" in main_words(answer)


def test_too_large_a_request_is_refused(app: Flask, logged_in: FlaskClient) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 1000
    answer = logged_in.post("/theme/dark", data={"csrf_token": "x" * 2000})
    assert answer.status_code == 413
    assert "That file is too large" in main_words(answer)


def test_nul_is_refused_with_a_sentence_wherever_it_stands(logged_in: FlaskClient) -> None:
    answers = [
        post(logged_in, "/lists/new", {"name": "a\0b", "description": ""}),
        logged_in.get("/lists/?q=a%00b"),
        logged_in.get("/contacts/?q=%00"),
        logged_in.get("/u/a%00b"),
        logged_in.post("/u/abc", data={"reason": "\0"}),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert "It is the invisible NUL" in main_words(answer)


@pytest.mark.parametrize("path", ["/campaigns/", "/suppressions/", "/contacts/", "/notifications/"])
@pytest.mark.parametrize("number", ["9" * 30, "-5", "x"])
def test_numbers_that_are_no_row_count_as_absent(
    logged_in: FlaskClient, path: str, number: str
) -> None:
    query = "&".join(f"{name}={number}" for name in ("before", "after", "campaign", "list"))
    assert logged_in.get(f"{path}?{query}").status_code == 200


def test_a_broken_database_still_gives_a_page(
    app: Flask, logged_in: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.testing = False
    with app.app_context(), writing(db.session()):
        db.session.execute(text("DROP TABLE notices"))
    answer = logged_in.get("/")
    assert answer.status_code == 500
    assert "Something broke on our side" in main_words(answer)
    assert "notices" not in main_words(answer)
    assert "Exception on / [GET]" in caplog.text


def test_a_database_that_another_program_holds_is_a_wait_and_not_a_fault(
    app: Flask,
    engine: Engine,
    logged_in: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL locks rows, not the database")
    monkeypatch.setattr("database.WRITER_WAIT_SECONDS", 0.05)
    with app.app_context(), writing(db.session()):
        answer = post(logged_in, "/suppressions/add", {"addresses": "ida@example.com"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "Nothing was changed" in main_words(answer)


def test_every_page_says_where_mails_go(settings: Any, logged_in: FlaskClient) -> None:
    assert "reach nobody" in page(logged_in.get("/")).text_content()
    elsewhere = replace(settings, email_backend="ses", aws_endpoint_url="http://127.0.0.1:9")
    app = create_app(elsewhere)
    client = app.test_client()
    with logged_in.session_transaction() as stored, client.session_transaction() as own:
        own.update(stored)
    shown = page(client.get("/campaigns/")).text_content()
    app.extensions["bes"].engine.dispose()
    assert "Mails go to http://127.0.0.1:9, not to AWS." in shown


def test_a_form_is_carried_out_once_on_both_databases(session: Session, engine: Engine) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with writing(session):
        assert once.take(session, "key", now) is None
        once.keep(session, "key", "/campaigns/7")
    with writing(session):
        assert once.take(session, "key", now) == "/campaigns/7"
        assert once.take(session, "another", now) is None
        assert once.take(session, None, now) is None
        once.keep(session, None, "/nowhere")


def test_a_form_that_failed_may_be_sent_again(session: Session) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with writing(session):
        once.take(session, "key", now)
        session.rollback()
    with writing(session):
        assert once.take(session, "key", now) is None


def test_a_database_that_fails_is_a_sentence_and_503(app: Flask, logged_in: FlaskClient) -> None:
    def fail() -> str:
        raise OperationalError("SELECT 1", None, Exception("database or disk is full"))

    app.view_functions["campaigns.index"] = fail
    answer = logged_in.get("/campaigns/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert "The database does not answer" in answer.text


def test_styles_need_no_database_and_every_page_says_that_it_does_not_answer(
    app: Flask, logged_in: FlaskClient
) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("SELECT 1", None, Exception("the server closed the connection"))

    event.listen(app.extensions["bes"].engine, "before_cursor_execute", fail)
    with logged_in.get("/static/js/zone.js") as script:
        assert script.status_code == 200
    for address in ("/", "/live", "/campaigns/", "/campaigns/1/live", "/lists/", "/readyz"):
        assert logged_in.get(address).status_code == 503, address

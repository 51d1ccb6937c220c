"""Signing in and out, the first account, and what slows down guessing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from database import writing
from models import LoginThrottle, User
from services import users
from services.installation import new_setup_token
from tests.web.forms import page, words
from web.database import db

PASSWORD = "a sentence that is long"


@pytest.fixture
def owner(app: Flask) -> str:
    """An account; its address."""
    with app.app_context(), writing(db.session()):
        users.create_user(db.session(), "Owner@Example.com", PASSWORD, datetime.now(UTC))
    return "owner@example.com"


def _token(client: FlaskClient, address: str) -> str:
    found = page(client.get(address)).xpath("//input[@name='csrf_token']/@value")
    return str(found[0])


def _sign_in(
    client: FlaskClient, email: str, password: str, address: str = "/login"
) -> TestResponse:
    data = {"csrf_token": _token(client, address), "email": email, "password": password}
    return client.post(address, data=data)


def test_right_password_opens_the_page_that_was_asked_for(client: FlaskClient, owner: str) -> None:
    answer = client.get("/campaigns/?state=draft")
    assert answer.headers["Location"].startswith("/login?next=")
    answer = _sign_in(client, "OWNER@example.com", PASSWORD, answer.headers["Location"])
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/campaigns/?state=draft"
    assert client.get("/campaigns/").status_code == 200


def test_foreign_return_address_is_ignored(client: FlaskClient, owner: str) -> None:
    answer = _sign_in(client, owner, PASSWORD, "/login?next=https://evil.example/")
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(
    ("email", "password"),
    [("owner@example.com", "wrong"), ("nobody@example.com", PASSWORD), ("no address", "x")],
)
def test_wrong_password_and_unknown_account_read_the_same(
    client: FlaskClient, owner: str, email: str, password: str
) -> None:
    answer = _sign_in(client, email, password)
    assert answer.status_code == 401
    assert "do not belong together" in words(page(answer))
    assert client.get("/").status_code == 302


def test_guessing_is_locked_out_even_with_the_right_password(
    app: Flask, client: FlaskClient, owner: str
) -> None:
    for _ in range(6):
        _sign_in(client, owner, "wrong")
    answer = _sign_in(client, owner, PASSWORD)
    assert answer.status_code == 401
    assert "Too many attempts" in words(page(answer))
    with app.app_context(), writing(db.session()):
        for row in db.session.query(LoginThrottle):
            row.locked_until = datetime(2020, 1, 1, tzinfo=UTC)
    assert _sign_in(client, owner, PASSWORD).status_code == 303


def test_success_forgets_earlier_failures(app: Flask, client: FlaskClient, owner: str) -> None:
    _sign_in(client, owner, "wrong")
    _sign_in(client, owner, PASSWORD)
    with app.app_context():
        assert db.session.query(LoginThrottle).count() == 0


def test_session_before_and_after_sign_in_share_nothing(client: FlaskClient, owner: str) -> None:
    with client.session_transaction() as stored:
        stored["planted"] = "by somebody else"
    _sign_in(client, owner, PASSWORD)
    with client.session_transaction() as stored:
        assert "planted" not in stored


def test_signing_out_makes_copies_of_the_cookie_worthless(
    app: Flask, client: FlaskClient, owner: str
) -> None:
    _sign_in(client, owner, PASSWORD)
    with client.session_transaction() as stored:
        copied = dict(stored)
    token = _token(client, "/")
    assert client.post("/logout", data={"csrf_token": token}).headers["Location"] == "/login"
    thief = app.test_client()
    with thief.session_transaction() as stored:
        stored.update(copied)
    assert thief.get("/").status_code == 302
    assert client.get("/").status_code == 302


def test_without_an_account_every_way_leads_to_set_up(client: FlaskClient) -> None:
    assert client.get("/").headers["Location"] == "/login"
    assert client.get("/login").headers["Location"] == "/setup"


def _set_up(client: FlaskClient, token: str, **fields: str) -> TestResponse:
    data = {"email": "first@example.com", "password": PASSWORD, "again": PASSWORD, **fields}
    return client.post(
        "/setup", data={"csrf_token": _token(client, "/setup"), "token": token, **data}
    )


def test_first_account_needs_the_printed_token_and_works_once(
    app: Flask, client: FlaskClient
) -> None:
    with app.app_context(), writing(db.session()):
        token = new_setup_token(db.session())
    assert _set_up(client, "guessed").status_code == 400
    assert _set_up(client, token, again="another").status_code == 200
    assert _set_up(client, token, password="short", again="short").status_code == 400
    with app.app_context():
        assert db.session.query(User).count() == 0
    answer = _set_up(client, token)
    assert answer.status_code == 303
    assert client.get("/").status_code == 200
    stranger = app.test_client()
    assert stranger.get("/setup").headers["Location"] == "/login"


def test_guessing_the_set_up_token_is_locked_out(app: Flask, client: FlaskClient) -> None:
    for _ in range(6):
        _set_up(client, "guessed")
    with app.app_context(), writing(db.session()):
        token = new_setup_token(db.session())
    answer = _set_up(client, token)
    assert answer.status_code == 401
    assert "Too many attempts" in words(page(answer))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_is_remembered_and_needs_no_script(logged_in: FlaskClient, theme: str) -> None:
    data = {"csrf_token": _token(logged_in, "/"), "back": "/campaigns/"}
    answer = logged_in.post(f"/theme/{theme}", data=data)
    assert answer.headers["Location"] == "/campaigns/"
    assert page(logged_in.get("/")).get("data-bs-theme") == theme


def test_theme_of_the_system_is_the_default(logged_in: FlaskClient) -> None:
    assert page(logged_in.get("/")).get("data-bs-theme") == "auto"

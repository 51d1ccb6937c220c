"""Another password for the person who is signed in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from database import writing
from services import users
from tests.web.forms import follow, main_words, page
from web.database import db

OLD, NEW = "a sentence that is long", "quite another sentence"
ADDRESS = "/account/password"


@pytest.fixture
def owner(app: Flask) -> str:
    """An account; its address."""
    with app.app_context(), writing(db.session()):
        users.create_user(db.session(), "owner@example.com", OLD, datetime.now(UTC))
    return "owner@example.com"


def _post(client: FlaskClient, address: str, **fields: str) -> TestResponse:
    token = page(client.get(address)).xpath("//input[@name='csrf_token']/@value")[0]
    return client.post(address, data={"csrf_token": token, **fields})


def _signed_in(app: Flask, owner: str, password: str = OLD) -> FlaskClient:
    client = app.test_client()
    assert _post(client, "/login", email=owner, password=password).status_code == 303
    return client


def _change(client: FlaskClient, present: str = OLD, password: str = NEW, again: str = "") -> str:
    answer = _post(client, ADDRESS, present=present, password=password, again=again or password)
    assert answer.status_code == 400
    return main_words(answer)


def test_a_new_password_keeps_this_session_and_ends_all_others(app: Flask, owner: str) -> None:
    here, elsewhere = _signed_in(app, owner), _signed_in(app, owner)
    answer = _post(here, ADDRESS, present=OLD, password=NEW, again=NEW)
    assert "Your password is changed" in main_words(follow(here, answer))
    assert here.get("/").status_code == 200
    assert elsewhere.get("/").headers["Location"] == "/login"
    stranger = app.test_client()
    assert _post(stranger, "/login", email=owner, password=OLD).status_code == 401
    _signed_in(app, owner, NEW)


def test_every_reason_against_a_new_password_is_a_sentence(app: Flask, owner: str) -> None:
    client, elsewhere = _signed_in(app, owner), _signed_in(app, owner)
    assert "not your present password" in _change(client, present="wrong")
    assert "at least 8 characters" in _change(client, password="short")
    assert "at most 1024 characters" in _change(client, password="x" * 1025)
    assert "The two new passwords differ." in _change(client, again="something else")
    assert "Write the password you have now." in _change(client, present="")
    assert elsewhere.get("/").status_code == 200
    _signed_in(app, owner, OLD)


def test_guessing_the_present_password_is_locked_out(app: Flask, owner: str) -> None:
    client = _signed_in(app, owner)
    for _ in range(5):
        assert "not your present password" in _change(client, present="wrong")
    assert "Too many attempts" in _change(client)


def test_the_sidebar_leads_to_the_page(logged_in: FlaskClient) -> None:
    assert page(logged_in.get("/")).xpath(f"//a[@href='{ADDRESS}']")

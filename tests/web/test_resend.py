"""What was typed into a form is kept when the session ended meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from lxml.html import HtmlElement
from sqlalchemy import select
from werkzeug.test import TestResponse

from audience_models import ContactList
from database import writing
from services import users
from tests.web.forms import follow, main_words, page
from web.database import db

PASSWORD = "a sentence that is long"
OWN = {"Origin": "http://localhost"}
TYPED = {"name": "Readers of \"<b>\" & 'co'", "description": "Whoever asked\r\nby letter"}


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A browser whose session has ended, of somebody who has an account."""
    with app.app_context(), writing(db.session()):
        users.create_user(db.session(), "owner@example.com", PASSWORD, datetime.now(UTC))
    return app.test_client()


def _form(answer: TestResponse) -> dict[str, str]:
    """The fields of the one form on the page, as a browser would send them."""
    fields: list[HtmlElement] = page(answer).xpath("//main//form//input[@name]")
    return {
        field.get("name"): field.get("value") or ""
        for field in fields
        if field.get("type") != "checkbox"
    }


def _names(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(select(ContactList.name)))


def test_what_was_typed_survives_a_session_that_ended(app: Flask, stranger: FlaskClient) -> None:
    answer = stranger.post("/lists/new", data={"csrf_token": "old", **TYPED}, headers=OWN)
    assert answer.status_code == 401
    assert "Your session has ended" in main_words(answer)
    sign_in = _form(answer) | {"email": "owner@example.com", "password": "wrong"}
    answer = stranger.post("/login", data=sign_in, headers=OWN)
    assert answer.status_code == 401
    answer = stranger.post("/login", data=_form(answer) | {"password": PASSWORD}, headers=OWN)
    assert "You are signed in again" in main_words(answer)
    assert _names(app) == []
    again = _form(answer)
    again = {name: text.replace("\n", "\r\n") for name, text in again.items()}  # as browsers do
    assert again.items() >= TYPED.items()
    answer = stranger.post(page(answer).xpath("//main//form/@action")[0], data=again, headers=OWN)
    assert TYPED["name"] in main_words(follow(stranger, answer))
    assert _names(app) == [TYPED["name"]]


def test_a_form_of_an_earlier_session_is_sent_again_with_a_press(
    app: Flask, logged_in: FlaskClient
) -> None:
    answer = logged_in.post("/lists/new", data={"csrf_token": "old", **TYPED}, headers=OWN)
    assert answer.status_code == 400
    assert "This form has gone stale" in main_words(answer)
    assert _names(app) == []
    follow(logged_in, logged_in.post("/lists/new", data=_form(answer), headers=OWN))
    assert _names(app) == [TYPED["name"]]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {}, {"Origin": "null"}, OWN | {"Sec-Fetch-Dest": "empty"}],
    ids=["another site", "no origin", "hidden origin", "a script"],
)
def test_a_form_of_another_site_is_never_offered_again(
    app: Flask, logged_in: FlaskClient, headers: dict[str, str]
) -> None:
    answer = logged_in.post("/lists/new", data=TYPED, headers=headers)
    assert answer.status_code == 400
    assert not page(answer).xpath("//main//form")
    answer = app.test_client().post("/lists/new", data=TYPED, headers=headers)
    assert answer.headers["Location"] == "/login?next=/lists/new"


def test_a_mere_press_leads_back_to_its_page_after_signing_in(stranger: FlaskClient) -> None:
    pressed = {"csrf_token": "old", "once": "key", "back": "/campaigns/7"}
    answer = stranger.post("/campaigns/7/pause", data=pressed, headers=OWN)
    assert answer.headers["Location"] == "/login?next=/campaigns/7"


@pytest.mark.parametrize("kept", ["{", "[]", '["/", 1]', '["/lists/new", [["a"]]]', "7"])
def test_what_is_no_kept_form_is_left_aside(stranger: FlaskClient, kept: str) -> None:
    sign_in = _form(stranger.get("/login"))
    sign_in |= {"email": "owner@example.com", "password": PASSWORD, "kept": kept}
    assert stranger.post("/login", data=sign_in).headers["Location"] == "/"


def test_a_browser_without_cookies_is_told_so(stranger: FlaskClient) -> None:
    sign_in = _form(stranger.get("/login")) | {"email": "owner@example.com", "password": PASSWORD}
    stranger.delete_cookie("bes_session")
    answer = stranger.post("/login", data=sign_in)
    assert answer.status_code == 400
    assert "allow cookies" in main_words(answer)

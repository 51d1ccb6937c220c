"""The mail as any recipient gets it: right values, right policy, the way to the others."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from database import writing
from tests.factories import add_campaign, add_recipients
from tests.web.forms import main_words, page
from web.database import db


@pytest.fixture
def people(app: Flask, now: datetime) -> dict[str, int]:
    """Three recipients of campaign 1 by address, each with their own name."""
    names = {"anna@example.com": "Anna", "bela@example.com": "<b>Bela</b>", "cleo@example.com": ""}
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now)
        return {
            email: add_recipients(
                db.session, campaign, [email], now, variables=json.dumps({"name": name})
            )[0].id
            for email, name in names.items()
        }


def test_the_first_recipient_by_address_is_shown_first(
    logged_in: FlaskClient, people: dict[str, int]
) -> None:
    said = main_words(logged_in.get("/campaigns/1/preview"))
    assert "News for Anna" in said
    assert "news@example.com to anna@example.com" in said


def test_next_and_previous_walk_by_address(logged_in: FlaskClient, people: dict[str, int]) -> None:
    middle = logged_in.get(f"/campaigns/1/preview?recipient={people['bela@example.com']}")
    [after] = page(middle).xpath("//a[@rel='next']/@href")
    [before] = page(middle).xpath("//a[@rel='prev']/@href")
    assert "cleo@example.com" in main_words(logged_in.get(after))
    assert "anna@example.com" in main_words(logged_in.get(before))
    assert not page(logged_in.get(after)).xpath("//a[@rel='next']")


def test_the_mail_is_rendered_for_the_chosen_one_and_escaped(
    logged_in: FlaskClient, people: dict[str, int]
) -> None:
    chosen = people["bela@example.com"]
    answer = logged_in.get(f"/campaigns/1/preview/mail?recipient={chosen}")
    shown = answer.get_data(as_text=True)
    assert "Hello &lt;b&gt;Bela&lt;/b&gt;" in shown
    assert "/u/preview" in shown
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    [frame] = page(logged_in.get(f"/campaigns/1/preview?recipient={chosen}")).xpath("//iframe")
    assert frame.get("sandbox") == ""


def test_text_and_headers_have_views_of_their_own(
    logged_in: FlaskClient, people: dict[str, int]
) -> None:
    text = main_words(logged_in.get("/campaigns/1/preview?view=text"))
    assert "Hello Anna" in text
    assert "1 Example Street, Example Town" in text
    headers = main_words(logged_in.get("/campaigns/1/preview?view=headers"))
    assert "List-Unsubscribe=One-Click" in headers
    assert "Example News <news@example.com>" not in headers  # an own sender borrows no name


def test_search_finds_by_the_beginning_and_opens_the_first(
    logged_in: FlaskClient, people: dict[str, int]
) -> None:
    said = main_words(logged_in.get("/campaigns/1/preview?q=CLEO"))
    assert "News for you" in said
    assert "No recipient’s address begins like this." in main_words(
        logged_in.get("/campaigns/1/preview?q=nobody")
    )


def test_a_recipient_of_another_campaign_is_never_shown(
    app: Flask, logged_in: FlaskClient, people: dict[str, int], now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        other = add_campaign(db.session, now)
        [row] = add_recipients(db.session, other, ["secret@example.net"], now)
        foreign = row.id
    said = logged_in.get(f"/campaigns/1/preview?recipient={foreign}").get_data(as_text=True)
    assert "secret@example.net" not in said


def test_without_recipients_variables_show_their_names(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        add_campaign(db.session, now)
    assert "News for [name]" in main_words(logged_in.get("/campaigns/1/preview"))


def test_a_mail_that_cannot_be_made_says_where(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        add_campaign(db.session, now, html="<p>one</p>\n{{ name | nonsense }}")
    said = main_words(logged_in.get("/campaigns/1/preview"))
    assert "The mail cannot be made for this recipient" in said
    assert "Email content, line 2" in said
    frame = logged_in.get("/campaigns/1/preview/mail").get_data(as_text=True)
    assert "Email content, line 2" in frame

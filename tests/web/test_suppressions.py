"""The suppression list: look, search, add, remove with a word of warning, take along."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.statuses import SuppressionReason
from models import Suppression
from services import suppression
from tests.web.forms import follow, main_words, page, post
from web.database import db


@pytest.fixture
def filled(app: Flask, now: datetime) -> None:
    """A hundred and twenty addresses, the newest last by number."""
    with app.app_context(), writing(db.session):
        for number in range(120):
            reason = SuppressionReason.COMPLAINED if number == 7 else SuppressionReason.BOUNCED
            suppression.suppress(
                db.session, f"reader{number:03}@example.com", reason, "SES reported: Bounce", None,
                now + timedelta(minutes=number),
            )  # fmt: skip


def stored(app: Flask) -> dict[str | None, Suppression]:
    with app.app_context():
        return {entry.address: entry for entry in db.session.scalars(select(Suppression))}


def test_an_empty_list_says_what_fills_it(logged_in: FlaskClient) -> None:
    assert "Hard bounces, complaints and unsubscribes" in main_words(
        logged_in.get("/suppressions/")
    )


@pytest.mark.usefixtures("filled")
def test_pages_lead_to_older_ones_and_back_to_the_newest(logged_in: FlaskClient) -> None:
    first = logged_in.get("/suppressions/")
    assert "reader119@example.com" in main_words(first)
    assert "Newest 50 of 120" in main_words(first)
    [older] = page(first).xpath("//a[@rel='next']/@href")
    second = logged_in.get(older)
    assert "reader069@example.com" in main_words(second)
    assert "reader070@example.com" not in main_words(second)
    assert page(second).xpath("//a[@rel='prev']/@href") == ["/suppressions/"]


@pytest.mark.usefixtures("filled")
def test_search_and_reason_narrow_the_list(logged_in: FlaskClient) -> None:
    said = main_words(logged_in.get("/suppressions/?q=READER01"))
    assert "reader011@example.com" in said
    assert "reader021@example.com" not in said
    said = main_words(logged_in.get("/suppressions/?reason=complained"))
    assert "reader007@example.com" in said
    assert "reader008@example.com" not in said
    assert "No suppressed address matches" in main_words(logged_in.get("/suppressions/?q=zz"))


def test_addresses_are_added_as_pasted(app: Flask, logged_in: FlaskClient) -> None:
    pasted = {"addresses": "Ida@Example.com, maple@example.org;\nzoe@example.net", "note": "phone"}
    said = main_words(follow(logged_in, post(logged_in, "/suppressions/add", pasted)))
    assert "3 addresses added." in said
    found = stored(app)
    assert set(found) == {"ida@example.com", "maple@example.org", "zoe@example.net"}
    assert found["ida@example.com"].reason is SuppressionReason.MANUAL
    assert found["ida@example.com"].note == "phone"
    again = follow(logged_in, post(logged_in, "/suppressions/add", pasted))
    assert "0 addresses added. 3 already on the list." in main_words(again)


def test_one_wrong_address_adds_nothing_and_is_named(app: Flask, logged_in: FlaskClient) -> None:
    typed = {"addresses": "ida@example.com not-an-address"}
    answer = post(logged_in, "/suppressions/add", typed)
    assert answer.status_code == 400
    assert "“not-an-address”" in main_words(answer)
    assert page(answer).get_element_by_id("addresses").text.strip() == typed["addresses"]
    assert not stored(app)


@pytest.mark.usefixtures("filled")
def test_removing_asks_first_and_warns_about_who_said_no(
    app: Flask, logged_in: FlaskClient
) -> None:
    before = stored(app)
    chosen = [str(before[f"reader{n:03}@example.com"].id) for n in (7, 8)]
    asked = post(logged_in, "/suppressions/remove", {"id": chosen})
    assert asked.status_code == 200
    assert "Remove 2 addresses from the list?" in main_words(asked)
    assert "1 person among them said no" in main_words(asked)
    assert len(stored(app)) == 120
    done = post(logged_in, "/suppressions/remove", {"id": chosen, "confirmed": "yes"})
    assert "2 addresses removed." in main_words(follow(logged_in, done))
    assert set(before) - set(stored(app)) == {"reader007@example.com", "reader008@example.com"}


def test_removing_nothing_says_so(logged_in: FlaskClient) -> None:
    answer = follow(logged_in, post(logged_in, "/suppressions/remove", {}))
    assert "Choose at least one address first." in main_words(answer)


@pytest.mark.usefixtures("filled")
def test_the_list_can_be_taken_along(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/suppressions/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    lines = answer.get_data(as_text=True).splitlines()
    assert lines[0].endswith("email,reason,source,note,campaign_id,created_at")
    assert len(lines) == 121

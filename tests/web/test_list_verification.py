"""Verify list through the pages: started once, followed, corrected, seen with the contact."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from audience_models import Contact
from domain.statuses import JobKind, JobStatus
from models import Job
from tests.web.forms import follow, main_words, post
from tests.web.test_lists import add, make_list, run_jobs
from web.database import db


def _checked(app: Flask, client: FlaskClient, clock: Callable[[], datetime]) -> str:
    """The page of a list with a misspelt, a shared and a plain address after its check."""
    at = make_list(client)
    for email in ("ana@gmial.com", "info@example.com", "bo@example.org"):
        add(client, at, email)
    assert post(client, f"{at}/verification/start", {}).status_code == 303
    assert run_jobs(app, clock) is JobStatus.DONE
    return at


def test_a_check_is_started_once_and_ends_with_verdicts_and_reasons(
    app: Flask, logged_in: FlaskClient, clock: Callable[[], datetime]
) -> None:
    at = make_list(logged_in)
    assert "nobody to verify" in main_words(logged_in.get(f"{at}/verification"))
    add(logged_in, at, "info@example.com")
    assert "Not verified yet" in main_words(logged_in.get(f"{at}/verification"))
    for _ in range(2):
        said = main_words(follow(logged_in, post(logged_in, f"{at}/verification/start", {})))
        assert "You may leave this page" in said
    with app.app_context():
        assert len(db.session.scalars(select(Job).where(Job.kind == JobKind.VERIFY)).all()) == 1
    assert run_jobs(app, clock) is JobStatus.DONE
    said = main_words(logged_in.get(f"{at}/verification"))
    assert "Verify again" in said
    assert "shared mailbox" in said
    assert "info@example.com" in said
    assert logged_in.get(f"{at}/imports/1").status_code == 404, "a check is no import"


def test_ses_is_asked_only_after_its_price_was_shown(
    app: Flask, logged_in: FlaskClient, clock: Callable[[], datetime]
) -> None:
    at = make_list(logged_in)
    add(logged_in, at, "info@example.com")
    early = follow(logged_in, logged_in.get(f"{at}/verification/ask"))
    assert "Verify first: then it is known about whom" in main_words(early)
    post(logged_in, f"{at}/verification/start", {})
    assert run_jobs(app, clock) is JobStatus.DONE
    assert f"{at}/verification/ask" in logged_in.get(f"{at}/verification").text
    said = main_words(logged_in.get(f"{at}/verification/ask"))
    assert "at most 1 question" in said
    assert "SES prices" in said
    nothing = follow(logged_in, post(logged_in, f"{at}/verification/start", {"about": "ses"}))
    assert "Tick at least one kind of address" in main_words(nothing)
    post(logged_in, f"{at}/verification/start", {"ask": "risky"})
    with app.app_context():
        asked = select(Job.parameters).where(Job.kind == JobKind.VERIFY).order_by(Job.id)
        assert db.session.scalars(asked).all() == [{}, {"ask_ses": ["risky"]}]


def test_a_running_check_can_be_stopped(app: Flask, logged_in: FlaskClient) -> None:
    at = make_list(logged_in)
    add(logged_in, at, "ana@example.com")
    post(logged_in, f"{at}/verification/start", {})
    post(logged_in, f"{at}/verification/stop", {})
    with app.app_context():
        assert db.session.scalars(select(Job)).one().status is JobStatus.STOPPED
    assert "Not verified yet" in main_words(logged_in.get(f"{at}/verification"))


def test_a_press_corrects_a_domain_and_the_contact_keeps_what_it_was(
    app: Flask, logged_in: FlaskClient, clock: Callable[[], datetime]
) -> None:
    at = _checked(app, logged_in, clock)
    said = main_words(logged_in.get(f"{at}/verification?verdict=risky"))
    assert "Probably misspelt" in said
    assert "Correct to ana@gmail.com" in said
    answer = post(logged_in, f"{at}/verification/correct", {"domain": "gmial.com"})
    said = main_words(follow(logged_in, answer))
    assert "1 address corrected" in said
    assert "Probably misspelt" not in said
    with app.app_context():
        ana = db.session.scalars(select(Contact).where(Contact.email == "ana@gmail.com")).one()
        contact_id = ana.id
    said = main_words(logged_in.get(f"/contacts/{contact_id}"))
    assert "Corrected from ana@gmial.com" in said
    document = logged_in.get(f"/contacts/{contact_id}/export").get_json()
    assert document["corrected_from"] == "ana@gmial.com"
    assert document["check"]["verdict"] in ("unknown", "deliverable")


def test_one_member_is_corrected_alone_and_nonsense_is_refused(
    app: Flask, logged_in: FlaskClient, clock: Callable[[], datetime]
) -> None:
    at = _checked(app, logged_in, clock)
    with app.app_context():
        everybody = {one.email: one.id for one in db.session.scalars(select(Contact))}
    page = f"{at}/verification/correct"
    assert post(logged_in, page, {"contact": str(everybody["ana@gmial.com"])}).status_code == 303
    assert post(logged_in, page, {}).status_code == 400
    again = post(logged_in, page, {"contact": str(everybody["bo@example.org"])})
    assert "nothing to correct" in main_words(follow(logged_in, again))
    with app.app_context():
        emails = set(db.session.scalars(select(Contact.email)))
    assert emails == set(everybody) - {"ana@gmial.com"} | {"ana@gmail.com"}

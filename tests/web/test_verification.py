"""Verify Recipients: one check at a time, followed, answered by verdict; skipping is a choice."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.statuses import CampaignStatus, JobKind, JobStatus, Risk, Verdict
from models import Campaign, Job
from services import job_queue
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post, words
from web.database import db

ADDRESS = "/campaigns/1/verification"


@pytest.fixture
def campaign(app: Flask, now: datetime) -> int:
    """A draft with seventy recipients."""
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now)
        emails = [f"reader{number:02}@example.com" for number in range(70)]
        add_recipients(db.session, campaign, emails, now, line=5)
        return campaign.id


@pytest.fixture
def verified(app: Flask, campaign: int, now: datetime) -> None:
    """A check that found 60 good and 10 bad addresses."""
    with app.app_context(), writing(db.session):
        found = db.session.get_one(Campaign, campaign)
        add_recipients(
            db.session, found, [f"bad{number}@exmaple.org" for number in range(60)], now,
            verdict=Verdict.UNDELIVERABLE, line=9,
            verdict_reason="The domain takes no mail. Did you mean example.org?",
        )  # fmt: skip
        job = job_queue.enqueue(db.session, JobKind.VERIFY, campaign, None, {}, None, now)
        job.status = JobStatus.DONE
        job.finished_at = now
        job.result = {"deliverable": 70, "undeliverable": 60, "risky": 0, "unknown": 0}


def queued(app: Flask) -> list[JobStatus]:
    with app.app_context():
        return list(db.session.scalars(select(Job.status).where(Job.kind == JobKind.VERIFY)))


@pytest.mark.usefixtures("campaign")
def test_starting_twice_runs_one_check(app: Flask, logged_in: FlaskClient) -> None:
    assert "Not verified yet" in main_words(logged_in.get(ADDRESS))
    for _ in range(2):
        shown = follow(logged_in, post(logged_in, f"{ADDRESS}/start"))
    assert queued(app) == [JobStatus.QUEUED]
    assert "You may leave this page" in main_words(shown)
    assert page(shown).xpath("//*[@data-live]")
    assert logged_in.get(f"{ADDRESS}/progress").headers["X-Next-In"] == "1"


@pytest.mark.usefixtures("campaign")
def test_a_waiting_check_can_be_stopped(app: Flask, logged_in: FlaskClient) -> None:
    post(logged_in, f"{ADDRESS}/start")
    post(logged_in, f"{ADDRESS}/stop")
    assert queued(app) == [JobStatus.STOPPED]


@pytest.mark.usefixtures("verified")
def test_the_answer_shows_the_worst_first_with_reasons(logged_in: FlaskClient) -> None:
    answer = logged_in.get(ADDRESS)
    said = main_words(answer)
    assert "70 of 130 checked addresses are deliverable." in said
    assert "Did you mean example.org?" in said
    assert "50 of 60" in said
    [later] = page(answer).xpath("//a[@rel='next']/@href")
    assert "10 of 60" in main_words(logged_in.get(later))


@pytest.mark.usefixtures("verified")
def test_undeliverable_ones_are_left_out_unless_a_person_says_otherwise(
    app: Flask, logged_in: FlaskClient, campaign: int
) -> None:
    before = logged_in.get(ADDRESS)
    assert "60 addresses are left out by the choice below" in main_words(before)
    assert page(before).xpath("//input[@name='skip'][@value='undeliverable']/@checked")
    shown = follow(logged_in, post(logged_in, f"{ADDRESS}/choose"))
    assert "are sent to all the same" in main_words(shown)
    with app.app_context():
        assert db.session.get_one(Campaign, campaign).send_undeliverable
    post(logged_in, f"{ADDRESS}/choose", {"skip": "undeliverable"})
    with app.app_context():
        assert not db.session.get_one(Campaign, campaign).send_undeliverable


@pytest.fixture
def doubted(app: Flask, campaign: int, now: datetime) -> None:
    """A check that found some misspelt domains, a shared and an unknown mailbox."""
    with app.app_context(), writing(db.session):
        found = db.session.get_one(Campaign, campaign)
        for email, verdict, risk in (
            ("ana@gmial.com", Verdict.RISKY, Risk.TYPO),
            ("bo@gmial.com", Verdict.RISKY, Risk.TYPO),
            ("info@example.org", Verdict.RISKY, Risk.ROLE),
            ("who@example.org", Verdict.UNKNOWN, Risk.UNKNOWN),
        ):
            add_recipients(db.session, found, [email], now, verdict=verdict, risks=int(risk))
        job = job_queue.enqueue(db.session, JobKind.VERIFY, campaign, None, {}, None, now)
        job.status = JobStatus.DONE
        job.finished_at = now
        job.result = {"deliverable": 70, "risky": 3, "unknown": 1, "misspelt": ["gmial.com"],
                      "risks": {"1": 2, "4": 1, "128": 1}}  # fmt: skip


@pytest.mark.usefixtures("doubted")
def test_risky_kinds_can_be_left_out_one_by_one(
    app: Flask, logged_in: FlaskClient, campaign: int
) -> None:
    first = logged_in.get(ADDRESS)
    assert "Nobody is left out because of this check." in main_words(first)
    kinds = page(first).xpath("//input[@name='skip']/@value")
    assert kinds == ["TYPO", "ROLE", "UNKNOWN"]
    chosen = {"skip": ["TYPO", "UNKNOWN", "undeliverable"]}
    shown = follow(logged_in, post(logged_in, f"{ADDRESS}/choose", chosen))
    assert "3 addresses are left out" in main_words(shown)
    assert page(shown).xpath("//input[@name='skip'][@checked]/@value") == ["TYPO", "UNKNOWN"]
    with app.app_context():
        assert db.session.get_one(Campaign, campaign).skip_risks == Risk.TYPO | Risk.UNKNOWN
    decision = logged_in.get(f"/campaigns/{campaign}/start")
    assert "Doubted, left out−3" in main_words(decision)


@pytest.mark.usefixtures("doubted")
def test_a_press_corrects_a_misspelt_domain(logged_in: FlaskClient) -> None:
    first = logged_in.get(ADDRESS)
    [press] = page(first).xpath("//button[@name='domain']")
    assert (press.get("value"), press.text_content()) == ("gmial.com", "Correct 2")
    singles = page(first).xpath("//button[@name='recipient']")
    assert {one.text_content() for one in singles} == {
        "Correct it", "Correct to ana@gmail.com", "Correct to bo@gmail.com"
    }  # fmt: skip
    one = singles[0].get("value")
    shown = follow(logged_in, post(logged_in, f"{ADDRESS}/correct", {"recipient": one}))
    assert "1 address corrected." in words(page(shown).xpath("//body")[0])
    shown = follow(logged_in, post(logged_in, f"{ADDRESS}/correct", {"domain": "gmial.com"}))
    said = words(page(shown).xpath("//body")[0])
    assert "1 address corrected." in said
    assert "Probably misspelt" not in said
    again = post(logged_in, f"{ADDRESS}/correct", {"domain": "gmial.com"})
    assert "nothing to correct" in words(page(follow(logged_in, again)).xpath("//body")[0])
    assert post(logged_in, f"{ADDRESS}/correct").status_code == 400


@pytest.mark.usefixtures("doubted")
def test_the_expected_bounces_stand_beside_the_limits(logged_in: FlaskClient) -> None:
    said = main_words(logged_in.get(ADDRESS))
    assert "Expected bounces" in said
    assert "of 74 mails" in said
    assert "reviews an account from 5% hard bounces and may stop it at 10%" in said
    assert "rules of thumb alone" in said


@pytest.mark.usefixtures("doubted")
def test_asking_ses_shows_how_many_and_the_price_before_anything_is_asked(
    app: Flask, logged_in: FlaskClient
) -> None:
    before = logged_in.get(f"{ADDRESS}/ask")
    said = main_words(before)
    assert "Unknown: at most 1 question" in said
    assert "Risky: at most 3 questions" in said
    assert "SES prices" in said
    assert page(before).xpath("//input[@name='ask'][@checked]/@value") == ["unknown"]
    nothing = follow(logged_in, post(logged_in, f"{ADDRESS}/start", {"about": "ses"}))
    assert "Tick at least one kind of address" in main_words(nothing)
    post(logged_in, f"{ADDRESS}/start", {"ask": ["unknown", "risky", "undeliverable"]})
    with app.app_context():
        job = db.session.scalars(select(Job).order_by(Job.id.desc())).first()
        assert job is not None
        assert job.parameters == {"ask_ses": ["unknown", "risky"]}
    assert logged_in.get(f"{ADDRESS}/ask").status_code == 303


@pytest.mark.usefixtures("verified")
def test_people_added_since_the_check_count_as_not_checked(
    app: Flask, logged_in: FlaskClient, campaign: int, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        found = db.session.get_one(Campaign, campaign)
        add_recipients(db.session, found, ["new@example.com", "newer@example.com"], now)
    assert "Not checked2" in main_words(logged_in.get(ADDRESS))


def test_a_launched_campaign_is_not_checked_again(
    app: Flask, logged_in: FlaskClient, campaign: int
) -> None:
    with app.app_context(), writing(db.session):
        db.session.get_one(Campaign, campaign).status = CampaignStatus.SENDING
    post(logged_in, f"{ADDRESS}/start")
    assert not queued(app)

"""Verify Recipients: one check at a time, followed, answered by verdict; skipping is a choice."""

from __future__ import annotations

from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.statuses import CampaignStatus, JobKind, JobStatus, Verdict
from models import Campaign, Job
from services import job_queue
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post
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
def test_undeliverable_ones_are_skipped_unless_a_person_says_otherwise(
    app: Flask, logged_in: FlaskClient, campaign: int
) -> None:
    assert "The 60 undeliverable addresses are skipped" in main_words(logged_in.get(ADDRESS))
    shown = follow(logged_in, post(logged_in, f"{ADDRESS}/choose", {"send": "yes"}))
    assert "are sent to all the same" in main_words(shown)
    with app.app_context():
        assert db.session.get_one(Campaign, campaign).send_undeliverable
    post(logged_in, f"{ADDRESS}/choose", {"send": "no"})
    with app.app_context():
        assert not db.session.get_one(Campaign, campaign).send_undeliverable


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

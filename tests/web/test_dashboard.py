"""The dashboard: what needs a person first, then what runs, then what was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Flask
from flask.testing import FlaskClient

import rate_limiter
from database import writing
from domain.statuses import CampaignStatus, Fact
from models import Bucket, RateSample
from services import notices, workers
from services.campaigns import RATE_SLOT_SECONDS
from services.lifecycle import THE_PRODUCT
from tests.factories import add_campaign, add_recipients
from tests.web.forms import main_words, page, words
from web.database import db

SENT = Fact.CLAIMED | Fact.ACCEPTED


def _titles(client: FlaskClient) -> list[str]:
    return [words(h) for h in page(client.get("/")).xpath("//ul[@class='todo']//h3")]


def test_a_fresh_installation_says_what_to_do_first(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/")
    assert "Nothing is running" in main_words(answer)
    assert "Needs you" not in main_words(answer)
    assert page(answer).xpath("//main//a[normalize-space()='New Campaign']/@href") == [
        "/campaigns/new"
    ]


def test_what_needs_a_person_comes_most_urgent_first_and_is_counted(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session()):
        s = db.session()
        notices.raise_notice(s, "sns-topic", "warn", "A topic was refused. Allow it.", now)
        notices.raise_notice(s, "account", "fail", "SES has shut the account down. Ask AWS.", now)
        add_campaign(
            s, now, name="By hand", status=CampaignStatus.PAUSED, paused_by="ann@example.com"
        )
        add_campaign(s, now, name="By itself", status=CampaignStatus.PAUSED, paused_by=THE_PRODUCT)
        doubtful = add_campaign(s, now, name="Lost answer", status=CampaignStatus.SENDING)
        add_recipients(s, doubtful, ["a@example.com"], now, facts=Fact.CLAIMED | Fact.DOUBTED)
    assert _titles(logged_in) == [
        "No scheduler is running",
        "SES has shut the account down",
        "By itself stopped itself",
        "1 mail is in doubt",
        "A topic was refused",
        "By hand is paused",
    ]
    with app.app_context(), writing(db.session()):
        workers.beat(db.session(), "host:1:a", "scheduler", {}, now)
    assert "No scheduler is running" not in _titles(logged_in)
    count = page(logged_in.get("/campaigns/")).xpath("//nav[@aria-label='Main']//a[@href='/']")[0]
    assert words(count) == "Dashboard, needs you: 5"


def test_running_campaigns_show_progress_and_finished_ones_their_outcome(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session()):
        s = db.session()
        running = add_campaign(s, now, name="Running", status=CampaignStatus.SENDING)
        add_recipients(s, running, ["a@example.com"], now, facts=SENT | Fact.DELIVERED)
        add_recipients(s, running, ["b@example.com", "c@example.com", "d@example.com"], now)
        done = add_campaign(s, now, name="Done", status=CampaignStatus.SENT, finished_at=now)
        delivered = [f"{i}@example.com" for i in range(9)]
        add_recipients(s, done, delivered, now, facts=SENT | Fact.DELIVERED)
        add_recipients(s, done, ["x@example.com"], now, facts=SENT | Fact.BOUNCED)
        add_campaign(s, now, name="Later", status=CampaignStatus.SCHEDULED,
                     scheduled_at=now + timedelta(days=3650))  # fmt: skip
        add_campaign(s, now, name="Idea")
    answer = logged_in.get("/")
    assert "1 of 4 done" in main_words(answer)
    table = page(answer).xpath("//section[@aria-labelledby='recent']//tbody/tr")
    assert [words(cell) for cell in table[0].xpath("td[contains(@class, 'num')]")] == [
        "10", "90.0%", "0%", "0%", "10.0%",
    ]  # fmt: skip
    states = [words(s) for s in page(answer).xpath("//main//*[contains(@class, 'state st-')]")]
    assert states == ["Sending", "Scheduled", "Draft"]


def test_account_health_follows_what_ses_says(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    assert "has not been read yet" in main_words(logged_in.get("/"))
    facts = {
        "account_read_at": now, "max_24_hour_send": 200.0, "sent_last_24_hours": 50.0,
        "max_send_rate": 1.0, "production_access": False, "sending_enabled": True,
        "enforcement_status": "HEALTHY",
    }  # fmt: skip
    verdicts = []
    for change in ({}, {"production_access": True}, {"enforcement_status": "SHUTDOWN"}):
        with app.app_context(), writing(db.session()):
            bucket = db.session.get_one(Bucket, rate_limiter.SEND)
            for name, value in {**facts, **change}.items():
                setattr(bucket, name, value)
        answer = logged_in.get("/")
        head = page(answer).xpath("//h2[@id='acc']/..")[0]
        verdicts.append(words(head).removeprefix("Account health").strip())
        assert "50 of 200" in main_words(answer)
    assert verdicts == ["WARN", "OK", "FAIL"]


def test_refresh_is_the_first_paint_again(logged_in: FlaskClient) -> None:
    whole = page(logged_in.get("/")).xpath("//div[@data-live]")[0]
    part = page(logged_in.get("/live")).xpath("//div[@data-live]")[0]
    assert whole.get("data-live") == "/live"
    assert words(part) == words(whole)


def test_last_day_and_week_are_those_of_the_campaigns_then_sent(
    app: Flask, logged_in: FlaskClient
) -> None:
    now = datetime.now(UTC)
    assert "Last 24 hours" not in main_words(logged_in.get("/"))
    with app.app_context(), writing(db.session()):
        s = db.session()
        s.get_one(Bucket, "send").account_read_at = now
        recent = add_campaign(s, now, status=CampaignStatus.SENT, last_sent_at=now)
        emails = [f"p{n}@example.com" for n in range(9)]
        add_recipients(s, recent, emails, now, facts=SENT)
        add_recipients(s, recent, ["b@example.com"], now, facts=SENT | Fact.BOUNCED)
        old = add_campaign(s, now, status=CampaignStatus.SENT, last_sent_at=now - timedelta(days=8))
        add_recipients(s, old, ["o@example.com"], now, facts=SENT | Fact.BOUNCED)
        slot = int(now.timestamp()) // RATE_SLOT_SECONDS
        s.add(RateSample(campaign_id=recent.id, slot=slot, accepted=7))
        s.add(RateSample(campaign_id=recent.id, slot=slot - 2160, accepted=3))
        s.add(RateSample(campaign_id=recent.id, slot=slot - 24 * 720 - 720, accepted=100))
    answer = logged_in.get("/")
    text = main_words(answer)
    assert "Last 24 hours10 mails sent" in text
    assert len(page(answer).xpath("//*[local-name()='rect'][@class='col st-sent']")) == 2
    assert "Bounces, 7 days10.0%" in text
    assert "1 of 10 sent." in text
    assert "Complaints, 7 days0" in text

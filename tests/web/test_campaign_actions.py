"""What the buttons of a campaign do, once, however often they are pressed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import rate_limiter
from database import writing
from domain.pacing import AccountLimits
from domain.statuses import CampaignStatus, Fact, RecipientStatus, SuppressionReason, Verdict
from models import Campaign, Recipient
from rate_limiter import AccountReading
from services import lifecycle, suppression
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post, words
from web.database import db

IN_DOUBT = Fact.CLAIMED | Fact.DOUBTED


@pytest.fixture
def campaign_id(app: Flask, now: datetime) -> int:
    """A draft with three recipients."""
    return _add(app, now, ["a@example.com", "b@example.com", "c@example.com"])


def _add(app: Flask, now: datetime, emails: list[str], facts: int = 0, **values: Any) -> int:
    rows = {name: values.pop(name) for name in ("submitted_at", "reason_code", "reason")
            if name in values}  # fmt: skip
    with app.app_context(), writing(db.session()):
        campaign = add_campaign(db.session(), now, **values)
        added = add_recipients(db.session(), campaign, emails, now, facts=facts, **rows)
        for row in added:
            if facts & Fact.CLAIMED:
                row.attempt_id, row.attempts = f"{row.id:032x}", 1
        return campaign.id


def _campaign(app: Flask, campaign_id: int) -> Campaign:
    with app.app_context():
        return db.session.get_one(Campaign, campaign_id)


def _states(app: Flask) -> dict[str, RecipientStatus]:
    with app.app_context():
        return {row.email: row.status for row in db.session.query(Recipient)}


def test_decision_page_shows_exactly_who_gets_it_and_who_not(
    app: Flask, logged_in: FlaskClient, campaign_id: int, now: datetime
) -> None:
    with app.app_context(), writing(db.session()):
        campaign = db.session.get_one(Campaign, campaign_id)
        add_recipients(db.session(), campaign, ["d@example.com"], now, facts=Fact.SKIPPED)
        suppression.suppress(
            db.session(), "A@example.com", SuppressionReason.MANUAL, "By hand.", None, now
        )
        db.session.query(Recipient).filter_by(email="b@example.com").update(
            {"verdict": Verdict.UNDELIVERABLE}
        )
    document = page(logged_in.get(f"/campaigns/{campaign_id}/start"))
    parts = document.xpath("//dl[contains(@class, 'kv-right')]")[0]
    names = [words(dt) for dt in parts.xpath("dt")]
    figures = [words(dd) for dd in parts.xpath("dd")]
    assert dict(zip(names, figures, strict=True)) == {
        "Uploaded": "4",
        "Skipped at the import": "−1",
        "Suppressed since": "−1",
        "Cannot receive mail": "−1",
        "Audience": "1",
    }


def test_start_sending_starts_once(app: Flask, logged_in: FlaskClient, campaign_id: int) -> None:
    address = f"/campaigns/{campaign_id}/start"
    answer = follow(logged_in, post(logged_in, address))
    assert "Sending has started" in main_words(answer)
    first = _campaign(app, campaign_id)
    assert first.status is CampaignStatus.SENDING
    assert first.launched_by == "owner@example.com"
    again = follow(logged_in, post(logged_in, address))
    assert "Sending has started" not in main_words(again)
    assert _campaign(app, campaign_id).launched_at == first.launched_at
    assert logged_in.get(address).headers["Location"] == f"/campaigns/{campaign_id}"


def test_start_says_what_stands_against_it(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    campaign_id = _add(app, now, [], from_email="")
    answer = logged_in.get(f"/campaigns/{campaign_id}/start")
    assert "no recipients yet" in main_words(answer)
    [button] = page(answer).xpath("//main//button[normalize-space()='Start Sending']")
    assert button.get("disabled") is not None
    assert page(answer).xpath(f"//*[@id='{button.get('aria-describedby')}']")
    refused = logged_in.get(post(logged_in, f"/campaigns/{campaign_id}/start").headers["Location"])
    assert _campaign(app, campaign_id).status is CampaignStatus.DRAFT
    assert page(refused).xpath("//div[contains(@class, 'is-error')]")


def _schedule(client: FlaskClient, campaign_id: int, day: str, time: str, zone: str) -> Any:
    data = {"date": day, "time": time, "zone": zone}
    return post(client, f"/campaigns/{campaign_id}/schedule", data)


def test_schedule_takes_the_time_in_the_named_zone(
    app: Flask, logged_in: FlaskClient, campaign_id: int
) -> None:
    answer = follow(
        logged_in, _schedule(logged_in, campaign_id, "2099-07-01", "09:00", "Europe/Berlin")
    )
    assert "Starts Wed 1 Jul 2099, 09:00 (Europe/Berlin)" in main_words(answer)
    campaign = _campaign(app, campaign_id)
    assert campaign.status is CampaignStatus.SCHEDULED
    assert campaign.scheduled_at == datetime(2099, 7, 1, 7, 0, tzinfo=UTC)
    form = page(logged_in.get(f"/campaigns/{campaign_id}/schedule"))
    filled = {field.get("name"): field.get("value") for field in form.xpath("//main//input")}
    assert (filled["date"], filled["time"], filled["zone"]) == (
        "2099-07-01", "09:00", "Europe/Berlin",
    )  # fmt: skip
    follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/unschedule"))
    assert _campaign(app, campaign_id).status is CampaignStatus.DRAFT


@pytest.mark.parametrize(
    ("day", "time", "zone", "sentence"),
    [
        ("2000-01-01", "09:00", "UTC", "That time is over already"),
        ("2099-01-01", "09:00", "Atlantis", "There is no such time zone"),
        ("", "09:00", "UTC", "Choose a day."),
        ("2099-01-01", "noon", "UTC", "Choose a time of day."),
        ("2099-01-01", "09:00", "", "Choose a time zone."),
    ],
)
def test_schedule_refuses_in_words_and_keeps_what_was_typed(
    app: Flask, logged_in: FlaskClient, campaign_id: int, day: str, time: str, zone: str,
    sentence: str,
) -> None:  # fmt: skip
    answer = _schedule(logged_in, campaign_id, day, time, zone)
    assert sentence in main_words(answer)
    assert _campaign(app, campaign_id).status is CampaignStatus.DRAFT
    assert page(answer).xpath("//input[@name='zone']/@value") == [zone]


def test_pause_and_resume_from_the_page(app: Flask, logged_in: FlaskClient, now: datetime) -> None:
    campaign_id = _add(app, now, ["a@example.com"], status=CampaignStatus.SENDING)
    answer = follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/pause"))
    assert "Paused by owner@example.com" in main_words(answer)
    assert _campaign(app, campaign_id).status is CampaignStatus.PAUSED
    follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/resume"))
    assert _campaign(app, campaign_id).status is CampaignStatus.SENDING


def test_second_press_of_pause_says_why_nothing_happened(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    campaign_id = _add(app, now, ["a@example.com"], status=CampaignStatus.PAUSED)
    back = f"/campaigns/{campaign_id}?state=pending"
    answer = post(logged_in, f"/campaigns/{campaign_id}/pause", {"back": back})
    assert answer.headers["Location"] == back
    assert "This campaign is paused: there is nothing to pause." in main_words(logged_in.get(back))


def test_resume_after_the_guard_counts_afresh(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    campaign_id = _add(
        app, now, ["a@example.com"], facts=Fact.CLAIMED | Fact.ACCEPTED | Fact.BOUNCED,
        status=CampaignStatus.PAUSED, reason_code="guard", paused_by="the product",
    )  # fmt: skip
    with app.app_context(), writing(db.session()):
        db.session.get_one(Campaign, campaign_id).reason_code = "guard"
    follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/resume"))
    campaign = _campaign(app, campaign_id)
    assert campaign.status is CampaignStatus.SENDING
    assert campaign.guard_baseline["reached_bounced"] == 1  # type: ignore[index]


def test_cancel_asks_first_and_names_what_is_lost(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    campaign_id = _add(app, now, ["a@example.com", "b@example.com"], status=CampaignStatus.SENDING)
    answer = logged_in.get(f"/campaigns/{campaign_id}/cancel")
    assert "2 recipients who wait will not get the mail" in main_words(answer)
    assert _campaign(app, campaign_id).status is CampaignStatus.SENDING
    answer = follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/cancel"))
    assert _campaign(app, campaign_id).status is CampaignStatus.CANCELLED
    assert "being taken out of the queue" in main_words(answer)


def test_copy_is_made_once_however_often_the_form_arrives(
    app: Flask, logged_in: FlaskClient, campaign_id: int
) -> None:
    address = f"/campaigns/{campaign_id}/duplicate"
    first = post(logged_in, address, {"once": "the key of one page"})
    second = post(logged_in, address, {"once": "the key of one page"})
    assert first.headers["Location"] == second.headers["Location"]
    third = post(logged_in, address, {"once": "the key of another page"})
    assert third.headers["Location"] != first.headers["Location"]
    with app.app_context():
        assert db.session.query(Campaign).count() == 3
    answer = logged_in.get(first.headers["Location"])
    assert "Autumn news (copy)" in main_words(answer)


def test_deleting_a_draft_asks_first(app: Flask, logged_in: FlaskClient, campaign_id: int) -> None:
    answer = logged_in.get(f"/campaigns/{campaign_id}/delete")
    assert "3 recipients are removed" in main_words(answer)
    answer = follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/delete"))
    assert "The draft “Autumn news” with 3 recipients was deleted." in main_words(answer)
    assert post(logged_in, f"/campaigns/{campaign_id}/delete").status_code == 404
    assert _states(app) == {}


def test_what_was_launched_cannot_be_deleted(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    campaign_id = _add(app, now, ["a@example.com"], status=CampaignStatus.SENT)
    answer = logged_in.get(post(logged_in, f"/campaigns/{campaign_id}/delete").headers["Location"])
    assert "kept as proof" in main_words(answer)
    assert _states(app) == {"a@example.com": RecipientStatus.PENDING}


def test_retry_puts_only_the_chosen_kind_back(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    refused = Fact.CLAIMED | Fact.REFUSED
    campaign_id = _add(app, now, ["a@example.com"], facts=refused, status=CampaignStatus.SENT,
                       reason_code="MessageRejected", reason="SES refused it.")  # fmt: skip
    with app.app_context(), writing(db.session()):
        campaign = db.session.get_one(Campaign, campaign_id)
        rows = add_recipients(db.session(), campaign, ["b@example.com"], now, facts=refused,
                              reason_code="Template", reason="No name.")  # fmt: skip
        rows[0].attempt_id = "f" * 32
    answer = logged_in.get(f"/campaigns/{campaign_id}/retry")
    assert "none of them has any sign of delivery" in main_words(answer)
    assert page(answer).xpath("//input[@type='checkbox']/@value") == ["MessageRejected", "Template"]
    nothing = follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/retry"))
    assert "choose at least one kind" in main_words(nothing)
    data = {"reason": "MessageRejected"}
    answer = follow(logged_in, post(logged_in, f"/campaigns/{campaign_id}/retry", data))
    assert "1 recipient back in the queue." in main_words(answer)
    assert _states(app) == {
        "a@example.com": RecipientStatus.PENDING,
        "b@example.com": RecipientStatus.FAILED,
    }
    assert _campaign(app, campaign_id).status is CampaignStatus.SENDING


@pytest.fixture
def doubtful(app: Flask, now: datetime) -> int:
    """A sending campaign with two mails in doubt, the first of them presumed unsent."""
    campaign_id = _add(app, now, ["a@example.com", "b@example.com"], facts=IN_DOUBT,
                       status=CampaignStatus.SENDING, submitted_at=now)  # fmt: skip
    with app.app_context(), writing(db.session()):
        row = db.session.query(Recipient).filter_by(email="a@example.com").one()
        row.presumed_unsent_at = now + timedelta(hours=1)
        row.doubt_evidence = {
            "judged_at": 1.0,
            "presumed_unsent": True,
            "conditions": {"grace_over": {"met": True, "detail": "61 minutes are over."}},
        }
    return campaign_id


def test_doubt_shows_its_evidence_beside_three_decisions(
    logged_in: FlaskClient, doubtful: int
) -> None:
    answer = logged_in.get(f"/campaigns/{doubtful}?state=in_doubt")
    assert "2 mails are in doubt, 1 presumed unsent" in main_words(answer)
    opened = logged_in.get(f"/campaigns/{doubtful}?r=1")
    panel = page(opened).xpath("//*[contains(@class, 'doubt')][.//ul[@class='evidence']]")[0]
    assert "61 minutes are over." in words(panel)
    assert [words(b) for b in panel.xpath(".//button | .//a[contains(@class, 'btn')]")] == [
        "Send it, presumed unsent", "Treat as sent", "Send again (may arrive twice)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "data", "states"),
    [
        ("unsent", {}, ("pending", "in_doubt")),
        ("unsent", {"recipient": "1"}, ("pending", "in_doubt")),
        ("sent", {"recipient": "2"}, ("in_doubt", "sent")),
        ("sent", {}, ("sent", "sent")),
        ("again", {"recipient": "2"}, ("in_doubt", "pending")),
        ("again", {"recipient": ""}, ("pending", "pending")),
    ],
)
def test_decisions_settle_the_mails_they_name(
    app: Flask, logged_in: FlaskClient, doubtful: int, decision: str, data: dict[str, str],
    states: tuple[str, str],
) -> None:  # fmt: skip
    answer = post(logged_in, f"/campaigns/{doubtful}/doubt/{decision}", data)
    assert answer.status_code == 303
    assert tuple(state.value for state in _states(app).values()) == states


def test_presumed_unsent_is_never_taken_on_trust(
    app: Flask, logged_in: FlaskClient, doubtful: int
) -> None:
    post(logged_in, f"/campaigns/{doubtful}/doubt/unsent", {"recipient": "2"})
    assert _states(app)["b@example.com"] is RecipientStatus.IN_DOUBT


def test_sending_again_asks_first_and_says_the_risk(logged_in: FlaskClient, doubtful: int) -> None:
    answer = logged_in.get(f"/campaigns/{doubtful}/doubt/again?recipient=2")
    assert "Send 1 mail again?" in main_words(answer)
    assert "It may arrive twice." in main_words(answer)
    assert "b@example.com" in main_words(answer)
    assert page(answer).xpath("//main//input[@name='recipient']/@value") == ["2"]


def test_unknown_decision_changes_nothing(
    app: Flask, logged_in: FlaskClient, doubtful: int
) -> None:
    assert post(logged_in, f"/campaigns/{doubtful}/doubt/forget").status_code == 404
    assert set(_states(app).values()) == {RecipientStatus.IN_DOUBT}


def test_the_decision_names_batches_and_hours(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    draft = _add(
        app, now, ["a@example.com"], batch_size=500, batch_pause_seconds=600, window_days="0,4",
        window_start="08:00", window_end="18:00", window_zone="Europe/Berlin",
    )  # fmt: skip
    shown = main_words(logged_in.get(f"/campaigns/{draft}/start"))
    assert "In batches of 500, 10 min apart." in shown
    assert "Only Monday, Friday 08:00 to 18:00 (Europe/Berlin)." in shown


def test_a_campaign_that_could_be_faster_says_what_to_raise(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    sending = _add(app, now, ["a@example.com"], status=CampaignStatus.SENDING)
    with app.app_context(), writing(db.session()):
        rate_limiter.ensure_bucket(db.session(), rate_limiter.SEND, 10.0)
        reading = AccountReading(AccountLimits(max_send_rate=50.0))
        rate_limiter.store_account(db.session(), reading, wanted_rate=10.0, reserve_percent=10.0)
    shown = main_words(logged_in.get(f"/campaigns/{sending}"))
    assert "MAX_EMAILS_PER_SECOND is 10; the SES account would allow" in shown
    assert "Raise MAX_EMAILS_PER_SECOND to send faster." in shown


def test_a_wait_is_shown_also_when_a_mail_is_in_doubt(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    sending = _add(
        app, now, ["a@example.com"], IN_DOUBT, submitted_at=now, status=CampaignStatus.SENDING
    )
    with app.app_context(), writing(db.session()):
        until = now + timedelta(hours=3)
        sentence = "The quota is used up. Sending goes on by itself."
        lifecycle.wait_for(db.session(), [sending], lifecycle.Wait.QUOTA, sentence, until)
    shown = main_words(logged_in.get(f"/campaigns/{sending}"))
    assert "Waiting until" in shown
    assert sentence in shown
    assert "1 mail is in doubt." in shown
    assert shown.count("by itself") == 1

"""The notification log: found by address and id, opened as it came, tried again when it failed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.ses_events import parse_text
from domain.statuses import EventStatus
from models import Campaign, DeadLetter, Event, Recipient
from services import event_log
from services.dead_letters import keep_dead_letter
from services.delivery_events import Incoming, store, store_dead
from services.installation import installation_id
from tests.factories import add_campaign, add_sending
from tests.web.forms import follow, main_words, page, post
from web.database import db


def delivery(recipient: Recipient | None, install: str, now: datetime, number: int) -> str:
    """A Delivery event; without a recipient it is about a mail that nobody here sent."""
    about: dict[str, Any] = {"timestamp": now.isoformat(), "messageId": f"m-{number}",
                             "destination": ["stranger@example.net"], "tags": {}}  # fmt: skip
    if recipient is not None:
        about["destination"] = [recipient.email]
        about["tags"] = {
            "bes_install": [install], "bes_campaign": [str(recipient.campaign_id)],
            "bes_recipient": [str(recipient.id)], "bes_attempt": [recipient.attempt_id],
        }  # fmt: skip
    said = {"timestamp": now.isoformat(), "recipients": about["destination"],
            "smtpResponse": f"250 ok <b>{number}</b>"}  # fmt: skip
    return json.dumps({"eventType": "Delivery", "mail": about, "delivery": said})


def incoming(text: str) -> Incoming:
    parsed = parse_text(text)
    assert isinstance(parsed, list)
    return Incoming.of(text, tuple(parsed), "sqs")


@pytest.fixture
def log(app: Flask, now: datetime) -> list[str]:
    """Seventy applied events, and one that waits for its mail; the recipients' addresses."""
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now)
        emails = [f"reader{number:02}@example.com" for number in range(70)]
        rows = add_sending(db.session, campaign, emails, now)
        install = installation_id(db.session)
        for number, row in enumerate(rows):
            text = delivery(row, install, now, number)
            store(db.session, [incoming(text)], now + timedelta(seconds=number))
        foreign = delivery(None, install, now, 999)
        store(db.session, [incoming(foreign)], now - timedelta(seconds=5))
        return emails


def key_of(app: Flask, status: EventStatus) -> str:
    with app.app_context():
        found = db.session.scalars(select(Event.key).where(Event.status == status)).first()
        assert found is not None
        return found.hex()


@pytest.mark.usefixtures("log")
def test_the_log_pages_from_the_newest_on(logged_in: FlaskClient) -> None:
    first = logged_in.get("/notifications/")
    said = main_words(first)
    assert "reader69@example.com" in said
    assert "reader19@example.com" not in said
    [older] = page(first).xpath("//a[@rel='next']/@href")
    second = main_words(logged_in.get(older))
    assert "reader19@example.com" in second
    assert "stranger@example.net" in second
    assert "reader20@example.com" not in second


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("query", ["READER07@example.com", "m-7"])
def test_an_event_is_found_by_address_and_by_message_id(
    app: Flask, logged_in: FlaskClient, query: str
) -> None:
    rows = page(logged_in.get(f"/notifications/?q={query}")).xpath("//tbody/tr")
    assert len(rows) == 1
    assert "reader07@example.com" in rows[0].text_content()


@pytest.mark.usefixtures("log")
def test_events_that_wait_for_their_mail_have_a_filter(logged_in: FlaskClient) -> None:
    rows = page(logged_in.get("/notifications/?show=parked")).xpath("//tbody/tr")
    assert len(rows) == 1
    assert "stranger@example.net" in rows[0].text_content()


@pytest.mark.usefixtures("log")
@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("look_at", [20_000, 7])
def test_the_log_is_filtered_by_type_campaign_source_and_result(
    app: Flask, logged_in: FlaskClient, look_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only a few events are looked through for a page: none is left out."""
    monkeypatch.setattr(event_log, "LOOK_AT", look_at)
    with app.app_context():
        campaign = db.session.scalars(select(Campaign.id)).first()

    def found(query: str) -> list[str]:
        address, rows = f"/notifications/?{query}", []
        while address:
            shown = page(logged_in.get(address))
            rows += [row.text_content() for row in shown.xpath("//tbody/tr")]
            address = (shown.xpath("//a[@rel='next']/@href") or [""])[0]
        return rows

    assert len(found("type=Delivery&show=applied&door=sqs")) == 70
    assert len(found(f"campaign={campaign}")) == 70
    assert len(found("door=sqs")) == 71
    assert found("door=http") == found("type=Complaint") == found("campaign=99") == []
    assert len(found("type=Delivery&q=reader07@example.com")) == 1
    assert found("type=Open&q=reader07@example.com") == []
    [stranger] = found("show=parked&door=sqs")
    assert "stranger@example.net" in stranger


@pytest.mark.usefixtures("log")
def test_the_filter_stays_in_every_address_of_the_page(app: Flask, logged_in: FlaskClient) -> None:
    shown = page(logged_in.get("/notifications/?type=Delivery&door=sqs"))
    for address in (
        *shown.xpath("//tbody//a/@href"),
        *shown.xpath("//a[@rel='next']/@href"),
        *shown.xpath("//a[@download]/@href"),
    ):
        assert "type=Delivery" in address
        assert "door=sqs" in address
    answer = logged_in.get("/notifications/export?type=Delivery&door=http")
    assert len(answer.text.splitlines()) == 1


@pytest.mark.usefixtures("log")
def test_an_opened_event_says_what_it_is_and_shows_it_as_it_came(
    app: Flask, logged_in: FlaskClient
) -> None:
    key = key_of(app, EventStatus.APPLIED)
    answer = logged_in.get(f"/notifications/{key}")
    said = main_words(answer)
    assert "The receiving server took it." in said
    assert "Autumn news" in said
    assert '"eventType": "Delivery"' in said
    assert "250 ok <b>" in said
    assert "ok <b>" not in answer.get_data(as_text=True)
    raw = logged_in.get(f"/notifications/{key}/raw")
    assert raw.mimetype == "text/plain"
    assert "sandbox" in raw.headers["Content-Security-Policy"]


@pytest.mark.parametrize("key", ["0" * 32, "z" * 32])
def test_an_unknown_key_is_not_found(logged_in: FlaskClient, key: str) -> None:
    assert logged_in.get(f"/notifications/{key}").status_code == 404


@pytest.mark.usefixtures("log")
def test_trying_a_parked_event_again_says_that_nothing_changed(
    app: Flask, logged_in: FlaskClient
) -> None:
    key = key_of(app, EventStatus.PARKED)
    answer = follow(logged_in, post(logged_in, f"/notifications/{key}/apply"))
    assert "Nothing changed: it still finds no mail of ours." in main_words(answer)


def test_an_event_that_failed_is_applied_when_tried_again(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        [row] = add_sending(db.session, add_campaign(db.session, now), ["a@example.com"], now)
        text = delivery(row, installation_id(db.session), now, 1)
        store_dead(db.session, incoming(text), "A fault that was mended since.", now)
    assert "A fault that was mended since." in main_words(logged_in.get("/notifications/dead"))
    key = key_of(app, EventStatus.DEAD)
    answer = follow(
        logged_in, post(logged_in, f"/notifications/{key}/apply", {"back": "/notifications/dead"})
    )
    assert "Applied." in main_words(answer)
    assert "Everything could be used" in main_words(answer)
    with app.app_context():
        assert db.session.get_one(Recipient, row.id).status == "delivered"


def test_messages_that_cannot_be_read_are_kept_with_the_reason(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        good = delivery(None, "", now, 3)
        keep_dead_letter(db.session, "sqs", '{"eventType": "<script>"}', "Broken: <script>", now)
        keep_dead_letter(db.session, "http", good, "Unreadable then.", now)
    shown = logged_in.get("/notifications/dead")
    assert "Broken: <script>" in main_words(shown)
    assert "<script>" not in shown.get_data(as_text=True).replace('<script type="module"', "")
    answer = follow(logged_in, post(logged_in, "/notifications/dead/all"))
    assert "1 used now. 1 is still not." in main_words(answer)
    with app.app_context():
        [left] = db.session.scalars(select(DeadLetter))
        assert left.tries == 2


def test_an_empty_log_says_what_brings_the_first_one(logged_in: FlaskClient) -> None:
    assert "No notification has arrived yet" in main_words(logged_in.get("/notifications/"))


def test_the_last_hour_is_drawn_and_the_backlog_has_an_age(
    app: Flask, logged_in: FlaskClient
) -> None:
    assert "Last hour" not in main_words(logged_in.get("/notifications/"))
    now = datetime.now(UTC)
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now)
        rows = add_sending(db.session, campaign, [f"r{n}@example.com" for n in range(3)], now)
        install = installation_id(db.session)
        for row in rows:
            text = delivery(row, install, now, row.id)
            at_once = row.id != rows[0].id
            parsed = replace(incoming(text), at_once=at_once)
            store(db.session, [parsed], now - timedelta(minutes=3))
    said = main_words(logged_in.get("/notifications/"))
    assert "3 in the last hour, at most 3 in a minute" in said
    assert "1 waits to be applied, the oldest for 3 min" in said

"""Send Test Email: any address, as any recipient, with what became of it on the same page."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.ses_events import SesEvent, parse_text
from domain.statuses import SuppressionReason
from models import Job, TestMail
from services import suppression
from services.delivery_events import Incoming, store
from services.installation import installation_id
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post
from web.database import db

ADDRESS = "/campaigns/1/test"


@pytest.fixture
def recipient(app: Flask, now: datetime) -> int:
    """The only recipient of campaign 1."""
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now)
        [row] = add_recipients(
            db.session, campaign, ["ida@example.com"], now, variables='{"name": "Ida"}'
        )
        return row.id


def mails(app: Flask) -> list[TestMail]:
    with app.app_context():
        return list(db.session.scalars(select(TestMail)))


def arrive(app: Flask, mail: TestMail, event: dict[str, Any], now: datetime) -> None:
    """An event about a test mail comes in through the queue."""
    with app.app_context(), writing(db.session):
        tags = {"bes_install": [installation_id(db.session)], "bes_test": [mail.attempt_id]}
        about = {"timestamp": now.isoformat(), "messageId": "m-1", "destination": [mail.email],
                 "tags": tags}  # fmt: skip
        text = json.dumps({**event, "mail": about})
        parsed = parse_text(text)
        assert isinstance(parsed, list)
        events: tuple[SesEvent, ...] = tuple(parsed)
        store(db.session, [Incoming.of(text, events, "sqs")], now)


def test_a_test_mail_is_queued_for_the_chosen_recipients_values(
    app: Flask, logged_in: FlaskClient, recipient: int
) -> None:
    typed = {"email": "me@example.net", "recipient": str(recipient)}
    said = main_words(follow(logged_in, post(logged_in, ADDRESS, typed)))
    assert "Test mail to me@example.net is on its way." in said
    [mail] = mails(app)
    assert (mail.email, mail.status) == ("me@example.net", "queued")
    with app.app_context():
        [job] = db.session.scalars(select(Job))
    assert job.parameters["as_recipient"] == recipient


@pytest.mark.usefixtures("recipient")
def test_the_simulator_addresses_are_one_press_each(app: Flask, logged_in: FlaskClient) -> None:
    offered = page(logged_in.get(ADDRESS)).xpath("//button[@name='simulator']/@value")
    assert "bounce@simulator.amazonses.com" in offered
    for address in offered:
        assert post(logged_in, ADDRESS, {"email": "", "simulator": address}).status_code == 303
    assert [mail.email for mail in mails(app)] == offered


@pytest.mark.usefixtures("recipient")
def test_what_becomes_of_it_is_shown_with_its_events(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    post(logged_in, ADDRESS, {"email": "bounce@simulator.amazonses.com"})
    [mail] = mails(app)
    assert "Waiting" in logged_in.get(f"{ADDRESS}/results").get_data(as_text=True)
    arrive(app, mail, {"eventType": "Send", "send": {}}, now)
    bounce = {
        "bounceType": "Permanent", "bounceSubType": "General", "timestamp": now.isoformat(),
        "feedbackId": "f-1", "bouncedRecipients": [{"emailAddress": mail.email}],
    }  # fmt: skip
    arrive(app, mail, {"eventType": "Bounce", "bounce": bounce}, now)
    answer = logged_in.get(f"{ADDRESS}/results")
    said = page(answer).text_content()
    assert "Sent" in said
    assert "Bounced" in said
    assert "refused the mail for good" in said
    assert answer.headers["X-Next-In"] == "0"


@pytest.mark.usefixtures("recipient")
@pytest.mark.parametrize(
    ("email", "sentence"),
    [("", "Write an address."), ("nobody", "it has no @"), ("a b@example.com", "space")],
)
def test_what_is_no_address_is_refused_beside_its_field(
    app: Flask, logged_in: FlaskClient, email: str, sentence: str
) -> None:
    answer = post(logged_in, ADDRESS, {"email": email})
    assert answer.status_code == 400
    assert sentence in main_words(answer)
    assert not mails(app)


@pytest.mark.usefixtures("recipient")
def test_a_suppressed_address_gets_no_test_mail_either(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        suppression.suppress(
            db.session, "no@example.com", SuppressionReason.UNSUBSCRIBED, "link", None, now
        )
    answer = post(logged_in, ADDRESS, {"email": "No@example.com"})
    assert answer.status_code == 400
    assert "is on the suppression list" in main_words(answer)
    assert not mails(app)


@pytest.mark.usefixtures("recipient")
def test_the_same_press_twice_sends_one(app: Flask, logged_in: FlaskClient) -> None:
    for _ in range(2):
        post(logged_in, ADDRESS, {"email": "me@example.net", "once": "a-key"})
    assert len(mails(app)) == 1

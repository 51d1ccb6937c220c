"""The link in a mail: one POST unsubscribes, looking changes nothing, strangers learn nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.addresses import address_hash
from domain.statuses import SuppressionReason
from domain.suppression_patterns import Pattern, parse_pattern
from domain.unsubscribe_tokens import make_token
from models import Campaign, CampaignCounters, Suppression
from services import suppression
from services.installation import address_key_secret
from tests.factories import add_campaign, add_recipients
from tests.web.forms import main_words
from web.database import db
from web.public import masked


class Link(NamedTuple):
    """An unsubscribe link and the campaign it came with."""

    address: str
    campaign_id: int


@pytest.fixture
def link(app: Flask, now: datetime) -> Link:
    """The link that quiet.maple@coast.example got."""
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now, from_name="Example Library")
        [row] = add_recipients(db.session, campaign, ["quiet.maple@coast.example"], now)
        secret = address_key_secret(db.session)
        token = make_token(secret, row.id, campaign.id, row.address_hash)
        return Link(f"/u/{token}", campaign.id)


def suppressions(app: Flask) -> list[Suppression]:
    with app.app_context():
        return list(db.session.scalars(select(Suppression)))


def test_looking_at_the_page_changes_nothing(app: Flask, client: FlaskClient, link: Link) -> None:
    answer = client.get(link.address)
    assert answer.status_code == 200
    said = main_words(answer)
    assert "Stop getting these mails?" in said
    assert "Example Library" in said
    assert not suppressions(app)


def test_the_page_shows_no_full_address(client: FlaskClient, link: Link) -> None:
    shown = client.get(link.address).get_data(as_text=True)
    assert "q…e@coast.example" in shown
    assert "quiet.maple" not in shown


def test_a_mail_programs_post_unsubscribes_at_once(
    app: Flask, client: FlaskClient, link: Link
) -> None:
    """The exact request of RFC 8058: no cookie, no token, no referrer, one form field."""
    answer = client.post(link.address, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    [entry] = suppressions(app)
    assert entry.reason is SuppressionReason.UNSUBSCRIBED
    assert entry.campaign_id == link.campaign_id


@pytest.mark.parametrize("content_type", ["multipart/form-data", "text/plain", ""])
def test_the_post_works_in_every_form_of_body(
    app: Flask, client: FlaskClient, link: Link, content_type: str
) -> None:
    answer = client.post(
        link.address, data=b"List-Unsubscribe=One-Click", content_type=content_type
    )
    assert answer.status_code == 200
    assert len(suppressions(app)) == 1


def test_unsubscribing_again_and_again_counts_once(
    app: Flask, client: FlaskClient, link: Link
) -> None:
    assert {client.post(link.address).status_code for _ in range(3)} == {200}
    assert len(suppressions(app)) == 1
    with app.app_context():
        assert db.session.get_one(CampaignCounters, link.campaign_id).unsubscribed == 1


def test_a_person_can_take_it_back_on_the_next_page(
    app: Flask, client: FlaskClient, link: Link
) -> None:
    assert "That was a mistake, put me back" in main_words(client.post(link.address))
    answer = client.post(f"{link.address}/undo")
    assert answer.status_code == 200
    assert "You are back on the list" in main_words(answer)
    assert not suppressions(app)
    assert "Stop getting these mails?" in main_words(client.get(link.address))


def test_taking_back_leaves_what_another_reason_blocks(
    app: Flask, client: FlaskClient, link: Link, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        suppression.suppress(
            db.session, "quiet.maple@coast.example", SuppressionReason.BOUNCED, "SES", None, now
        )
    assert "Your address stays blocked" in main_words(client.post(f"{link.address}/undo"))
    assert [entry.reason for entry in suppressions(app)] == [SuppressionReason.BOUNCED]


def test_the_link_works_after_the_campaign_is_gone(
    app: Flask, client: FlaskClient, link: Link
) -> None:
    with app.app_context(), writing(db.session):
        db.session.delete(db.session.get_one(Campaign, link.campaign_id))
    assert client.get(link.address).status_code == 200
    assert client.post(link.address).status_code == 200
    [entry] = suppressions(app)
    with app.app_context():
        secret = address_key_secret(db.session)
    assert entry.address_hash == address_hash(secret, "quiet.maple@coast.example")


@pytest.mark.parametrize(("method", "ending"), [("get", ""), ("post", ""), ("post", "/undo")])
def test_an_altered_link_is_a_friendly_page_and_changes_nothing(
    app: Flask, client: FlaskClient, link: Link, method: str, ending: str
) -> None:
    altered = link.address[:-2] + ("A" if link.address[-2] != "A" else "B") + link.address[-1]
    answer = getattr(client, method)(altered + ending)
    assert answer.status_code == 404
    assert "This link does not work" in main_words(answer)
    assert not suppressions(app)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("quiet.maple@coast.example", "q…e@coast.example"),
        ("ab@example.com", "a…@example.com"),
        ("a@example.com", "a…@example.com"),
    ],
)
def test_masking_tells_an_owner_and_nobody_else(address: str, shown: str) -> None:
    assert masked(address) == shown


#: What mail providers send after a press on their own button: the body of RFC 8058 section 3.2 in
#: either of its two encodings, from a server or from the app, without cookie and referrer.
ONE_CLICKS = {
    "a provider's server, as a form": (
        {"User-Agent": "Mozilla/5.0 (compatible; mail provider)", "Accept": "*/*"},
        "application/x-www-form-urlencoded",
        b"List-Unsubscribe=One-Click",
    ),
    "a provider's server, in parts": (
        {"User-Agent": "Go-http-client/2.0", "Accept-Encoding": "gzip"},
        "multipart/form-data; boundary=---FormBoundaryjWmhtjORrn",
        (
            b"-----FormBoundaryjWmhtjORrn\r\nContent-Disposition: form-data; "
            b'name="List-Unsubscribe"\r\n\r\nOne-Click\r\n-----FormBoundaryjWmhtjORrn--\r\n'
        ),
    ),
    "an app on a telephone": (
        {"User-Agent": "Mail/3774.300.61 CFNetwork/1490.0.4 Darwin/23.2.0", "Origin": "null"},
        "application/x-www-form-urlencoded",
        b"List-Unsubscribe=One-Click",
    ),
    "a webmail in a browser": (
        {
            "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 Safari/537.36",
            "Origin": "https://mail.example.org",
            "Sec-Fetch-Site": "cross-site",
        },
        "application/x-www-form-urlencoded; charset=UTF-8",
        b"List-Unsubscribe=One-Click&",
    ),
    "a program that forgets the type": ({"User-Agent": ""}, "", b"List-Unsubscribe=One-Click"),
}


@pytest.mark.parametrize("sender", ONE_CLICKS)
def test_one_click_works_from_every_kind_of_mail_program_and_counts_once(
    app: Flask, client: FlaskClient, link: Link, sender: str
) -> None:
    headers, content_type, body = ONE_CLICKS[sender]
    for _ in range(2):  # providers repeat a request whose answer was lost
        answer = client.post(link.address, data=body, content_type=content_type, headers=headers)
        assert answer.status_code == 200
        assert {"Location", "Set-Cookie"}.isdisjoint(answer.headers.keys())
    [entry] = suppressions(app)
    assert entry.reason is SuppressionReason.UNSUBSCRIBED
    with app.app_context():
        assert db.session.get_one(CampaignCounters, link.campaign_id).unsubscribed == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("query", ["", "?List-Unsubscribe=One-Click", "?scope=all"])
def test_scanners_that_follow_the_link_unsubscribe_nobody(
    app: Flask, client: FlaskClient, link: Link, method: str, query: str
) -> None:
    answer = client.open(link.address + query, method=method)
    assert answer.status_code == 200
    assert not suppressions(app)
    with app.app_context():
        assert db.session.get_one(CampaignCounters, link.campaign_id).unsubscribed == 0


@pytest.mark.parametrize("ending", ["/reason", "/undo"])
def test_the_steps_after_unsubscribing_cannot_be_taken_by_following_a_link(
    client: FlaskClient, link: Link, ending: str
) -> None:
    assert client.get(link.address + ending).status_code == 405


def test_a_reader_whose_domain_is_blocked_may_unsubscribe_and_is_told_of_the_block(
    app: Flask, client: FlaskClient, link: Link, now: datetime
) -> None:
    pattern = parse_pattern("coast.example")
    assert isinstance(pattern, Pattern)
    with app.app_context(), writing(db.session):
        suppression.suppress_pattern(db.session, pattern, SuppressionReason.MANUAL, "a test", now)
    assert "Stop getting these mails?" in main_words(client.get(link.address))
    client.post(link.address)
    assert len(suppressions(app)) == 2
    assert "Your address stays blocked" in main_words(client.post(f"{link.address}/undo"))
    assert [entry.address for entry in suppressions(app)] == ["*@coast.example"]

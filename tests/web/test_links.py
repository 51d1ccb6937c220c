"""The page of a campaign's links."""

from __future__ import annotations

from datetime import datetime

from flask import Flask
from flask.testing import FlaskClient

from database import writing
from services.delivery_events import store
from tests.factories import add_campaign, add_sending
from tests.ses_messages import incoming, mail_events
from tests.web.forms import main_words, page
from web.database import db

HOSTILE = "https://example.com/<script>alert(1)</script>"


def test_links_are_shown_with_their_people(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now, html='<a href="https://example.com/a">A</a>')
        campaign_id = campaign.id
        (row,) = add_sending(db.session, campaign, ["ana@example.com"], now)
        mail = mail_events(db.session, row, now)
        told = [mail.clicked(after=20), mail.clicked(after=30), mail.clicked(HOSTILE, after=60)]
        store(db.session, incoming(told), now)
    shown = page(logged_in.get(f"/campaigns/{campaign_id}"))
    [address] = shown.xpath("//a[contains(., 'person clicked')]/@href")
    answer = logged_in.get(address)
    cells = [
        [" ".join(cell.text_content().split()) for cell in line.xpath("td")[:4]]
        for line in page(answer).xpath("//tbody/tr")
    ]
    assert cells == [
        ["https://example.com/a2 clicks", "1", "2", "0"],
        [f"{HOSTILE}1 click", "1", "1", "0"],
    ]


def test_a_campaign_without_clicks_says_so(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        campaign_id = add_campaign(db.session, now).id
    assert "Nobody has clicked yet" in main_words(logged_in.get(f"/campaigns/{campaign_id}/links"))
    assert logged_in.get("/campaigns/999999/links").status_code == 404

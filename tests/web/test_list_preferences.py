"""Leaving one list or all mail on the unsubscribe page: with undo, a reason, and its effects."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from audience_models import Audience, Contact, ListMember
from database import make_sessions, writing
from domain.statuses import AudienceKind, CampaignStatus, MemberStatus, RecipientStatus
from domain.unsubscribe_tokens import make_token
from models import Campaign, Recipient, Suppression
from services import audiences, list_members, lists
from services.audiences import Source
from services.installation import address_key_secret
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign
from tests.web.forms import main_words
from web.database import db

ANA = "ana@example.com"
LEFT, ON = MemberStatus.UNSUBSCRIBED, MemberStatus.SUBSCRIBED


class Sent(NamedTuple):
    """Ana's link in a mail to the list Readers, and another campaign to it under way."""

    link: str
    campaign_id: int
    other_id: int


def begin(now: datetime, *list_ids: int) -> Campaign:
    """A campaign to these lists whose people are all in the ledger, waiting."""
    with writing(db.session):
        campaign = add_campaign(db.session, now)
        sources = [Source(AudienceKind.LIST, one) for one in list_ids]
        audiences.choose(db.session, campaign.id, sources, now)
        campaign.status = CampaignStatus.SENDING
    audiences.freeze(make_sessions(db.engine), campaign.id, now)
    with writing(db.session):
        audiences.copy_step(db.session, campaign.id, address_key_secret(db.session), now, 50)
    return campaign


@pytest.fixture
def sent(app: Flask, now: datetime) -> Sent:
    with app.app_context():
        with writing(db.session):
            readers = lists.create_list(db.session, "Readers", "", now, None).id
            donors = lists.create_list(db.session, "Donors", "", now, None).id
            for one in (readers, donors):
                list_members.add_one(db.session, one, ANA, {}, now)
        campaign, other = begin(now, readers), begin(now, readers)
        both = begin(now, readers, donors)
        assert both.id == other.id + 1
        row = db.session.scalars(
            select(Recipient).where(Recipient.campaign_id == campaign.id)
        ).one()
        secret = address_key_secret(db.session)
        token = make_token(secret, row.id, campaign.id, row.address_hash)
        return Sent(f"/u/{token}", campaign.id, other.id)


def memberships(app: Flask) -> list[MemberStatus]:
    with app.app_context():
        return list(db.session.scalars(select(ListMember.status).order_by(ListMember.list_id)))


def suppressed(app: Flask) -> list[Suppression]:
    with app.app_context():
        return list(db.session.scalars(select(Suppression)))


def state(app: Flask, campaign_id: int) -> RecipientStatus:
    with app.app_context():
        assert read_counters(db.session(), campaign_id) == recount(db.session(), campaign_id)
        query = select(Recipient.status).where(Recipient.campaign_id == campaign_id)
        return db.session.scalars(query).one()


def test_the_page_offers_the_list_and_all_mail(client: FlaskClient, sent: Sent) -> None:
    said = main_words(client.get(sent.link))
    assert "All mails" in said
    assert "Only Readers" in said


def test_leaving_the_list_leaves_the_rest_alone(
    app: Flask, client: FlaskClient, sent: Sent
) -> None:
    said = main_words(client.post(sent.link, data={"scope": "lists"}))
    assert "no more mails of Readers" in said
    assert memberships(app) == [LEFT, ON]
    assert suppressed(app) == []
    assert state(app, sent.other_id) is RecipientStatus.SKIPPED
    assert state(app, sent.other_id + 1) is RecipientStatus.PENDING  # goes to Donors as well
    with app.app_context():
        assert read_counters(db.session(), sent.campaign_id)["unsubscribed"] == 1
    back = main_words(client.post(f"{sent.link}/undo"))
    assert "You are back on the list" in back
    assert memberships(app) == [ON, ON]
    with app.app_context():
        assert read_counters(db.session(), sent.campaign_id)["unsubscribed"] == 0


def test_who_left_the_list_finds_the_way_back_and_the_end_of_all_mail_behind_the_link(
    app: Flask, client: FlaskClient, sent: Sent
) -> None:
    client.post(sent.link, data={"scope": "lists"})
    said = main_words(client.get(sent.link))
    assert "no more mails of Readers" in said
    assert "put me back" in said
    assert "Stop all mails" in said
    client.post(sent.link)
    assert len(suppressed(app)) == 1
    assert "Stop all mails" not in main_words(client.get(sent.link))


def test_a_mail_programs_request_always_means_all_mail(
    app: Flask, client: FlaskClient, sent: Sent
) -> None:
    client.post(sent.link, data={"List-Unsubscribe": "One-Click"})
    assert len(suppressed(app)) == 1
    assert memberships(app) == [ON, ON]


def test_leaving_a_list_twice_is_leaving_it_once(
    app: Flask, client: FlaskClient, sent: Sent
) -> None:
    for _ in range(2):
        said = main_words(client.post(sent.link, data={"scope": "lists"}))
        assert "no more mails of Readers" in said
    assert suppressed(app) == []
    assert memberships(app) == [LEFT, ON]


def test_a_reason_is_kept_for_whoever_unsubscribed(
    app: Flask, client: FlaskClient, sent: Sent
) -> None:
    early = client.post(f"{sent.link}/reason", data={"reason": "often"})
    assert "Stop getting these mails?" in main_words(early)
    assert suppressed(app) == []
    assert "Why?" in main_words(client.post(sent.link, data={"scope": "all"}))
    thanks = main_words(client.post(f"{sent.link}/reason", data={"reason": "often"}))
    assert "Thank you for telling us why." in thanks
    assert suppressed(app)[0].note == "Too many mails"
    assert client.post("/u/unknown/reason", data={"reason": "often"}).status_code == 404


def test_who_leaves_before_the_copy_is_not_copied(app: Flask, now: datetime) -> None:
    with app.app_context():
        with writing(db.session):
            readers = lists.create_list(db.session, "Readers", "", now, None).id
            for email in (ANA, "bo@example.com"):
                list_members.add_one(db.session, readers, email, {}, now)
            campaign = add_campaign(db.session, now)
            audiences.choose(db.session, campaign.id, [Source(AudienceKind.LIST, readers)], now)
        audiences.freeze(make_sessions(db.engine), campaign.id, now)
        with writing(db.session):
            ana = db.session.scalars(select(Contact.id).where(Contact.address == ANA)).one()
            list_members.set_status(db.session, readers, ana, LEFT, now)
            secret = address_key_secret(db.session)
            audiences.copy_step(db.session, campaign.id, secret, now, 50)
        assert db.session.scalars(select(Recipient.email)).all() == ["bo@example.com"]
        assert db.session.scalars(select(Audience.copied)).one() == 2

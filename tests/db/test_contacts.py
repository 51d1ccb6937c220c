"""One contact: its story, what it takes along, its erasure, and the history carried over to it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact
from database import writing
from domain.event_raw import pack, unpack
from domain.statuses import CampaignStatus, EventStatus, Fact, RecipientStatus, SuppressionReason
from models import DeadLetter, Event, Recipient, Suppression
from services import contact_history, contacts, erasure, list_members, lists, suppression
from services.campaigns import Refused
from services.delivery_events import store
from services.event_replay import has_purged_events, replay_step
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_recipients, add_sending
from tests.ses_messages import incoming, mail_events

ANA = "ana@example.com"


@pytest.fixture
def ana(session: Session, now: datetime) -> Contact:
    with writing(session):
        readers = lists.create_list(session, "Readers", "", now, None)
        list_members.add_one(session, readers.id, ANA, {"name": "Ana"}, now)
        found = session.scalars(select(Contact)).one()
        contacts.set_tags(session, found.id, ["VIP", " vip ", "north  side"])
    return found


def sent_row(session: Session, now: datetime, **values: object) -> Recipient:
    """A mail to Ana that SES accepted, with a raw event that names her."""
    with writing(session):
        campaign = add_campaign(session, now, status=CampaignStatus.SENDING)
        facts = Fact.ACCEPTED | Fact.DELIVERED
        row = add_recipients(session, campaign, [ANA], now, facts=facts, sent_at=now, **values)[0]
        row.attempt_id, row.reason = "a" * 32, f"250 OK {ANA}"
        add_recipients(session, campaign, ["bo@example.com"], now)
        for key, recipient in ((b"k" * 16, row.id), (b"l" * 16, None)):
            session.add(
                Event(key=key, kind="Delivery", status=EventStatus.APPLIED, door="sqs",
                      received_at=now, happened_at=now, recipient_id=recipient,
                      raw=pack(json.dumps({"mail": {"destination": [ANA]}})))
            )  # fmt: skip
        session.add(
            DeadLetter(
                door="http", fingerprint="f", body=f"to {ANA}", reason="odd", received_at=now
            )
        )
    return row


def test_the_story_of_a_contact_has_everything_and_goes_along_as_json(
    session: Session, ana: Contact, now: datetime
) -> None:
    sent_row(session, now)
    with writing(session):
        suppression.suppress(session, ANA, SuppressionReason.BOUNCED, "SES said so.", None, now)
    told = contacts.story(session, ana.id)
    document = json.loads(json.dumps(contacts.as_document(told)))
    assert document["fields"] == {"name": "Ana"}
    assert document["tags"] == ["north side", "vip"]
    assert document["lists"][0]["name"] == "Readers"
    assert document["suppression"]["source"] == "SES said so."
    [mail] = document["mails"]
    assert (mail["campaign"], mail["status"]) == ("Autumn news", "delivered")
    assert [event["kind"] for event in mail["events"]][-1] == "suppressed"


def test_an_address_that_only_a_campaign_knows_gets_a_page(session: Session, now: datetime) -> None:
    sent_row(session, now, variables='{"name": "Ana"}')
    with writing(session):
        found = contacts.open_address(session, "ANA@example.com", now)
    assert json.loads(found.variables) == {"name": "Ana"}
    assert len(contacts.story(session, found.id).mails) == 1
    with writing(session), pytest.raises(Refused, match="Nothing is known"):
        contacts.open_address(session, "stranger@example.com", now)


def test_fields_and_tags_are_replaced(session: Session, ana: Contact, now: datetime) -> None:
    with writing(session):
        given = contacts.fields_of("First Name: Ana Maria\ncity:\n")
        contacts.set_fields(session, ana.id, given, now)
        contacts.set_tags(session, ana.id, ["new"])
    told = contacts.story(session, ana.id)
    assert (dict(told.variables), list(told.tags)) == ({"first_name": "Ana Maria"}, ["new"])
    with pytest.raises(Refused, match="name: value"):
        contacts.fields_of("just words")


def test_erasing_leaves_the_hash_and_the_figures_and_no_address(
    sessions: sessionmaker[Session], session: Session, ana: Contact, now: datetime
) -> None:
    row = sent_row(session, now)
    hashed = row.address_hash
    with writing(session):
        draft = add_campaign(session, now)
        add_recipients(session, draft, [ANA, "bo@example.com"], now)
        late = add_campaign(session, now, status=CampaignStatus.SENDING)
        add_recipients(session, late, [ANA], now)
        suppression.suppress(
            session, ANA, SuppressionReason.UNSUBSCRIBED, "a test", None, now, note=ANA
        )
    done = erasure.erase(sessions, ana.id, now, keep_out=True)
    assert (done.mails, done.events) == (3, 2)
    session.rollback()
    session.expire_all()
    rows = session.scalars(select(Recipient).where(Recipient.address_hash == hashed)).all()
    assert {one.status for one in rows} == {RecipientStatus.DELIVERED, RecipientStatus.SKIPPED}
    for one in rows:
        kept = f"{one.email}{one.address}{one.variables}{one.reason}"
        assert "ana" not in kept
    raws = [unpack(event.raw) for event in session.scalars(select(Event)) if event.raw]
    assert not [raw for raw in raws if "ana" in raw.lower()]
    assert session.scalars(select(DeadLetter)).all() == []
    assert session.scalars(select(Contact)).all() == []
    kept_out = session.scalars(select(Suppression)).one()
    assert (kept_out.address, kept_out.note) == (None, None)
    assert kept_out.reason is SuppressionReason.UNSUBSCRIBED
    assert suppression.find(session, ANA) is not None
    assert lists.all_lists(session)[0].members == 0
    for campaign_id in (row.campaign_id, draft.id, late.id):
        assert read_counters(session, campaign_id) == recount(session, campaign_id)


def test_after_an_erasure_the_campaign_can_still_be_derived_from_its_events(
    sessions: sessionmaker[Session], session: Session, ana: Contact, now: datetime
) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        rows = add_sending(session, campaign, [ANA, "bo@example.com"], now)
    for row in rows:
        mail = mail_events(session, row, now)
        texts = [mail.send(), mail.delivery(), mail.opened(), mail.clicked(), mail.bounce()]
        texts[0] = texts[0].replace(f'["{ANA}"]', f'["Ana Example <{ANA.upper()}>"]')
        with writing(session):
            store(session, incoming(texts), now)

    def ledger() -> list[tuple[object, ...]]:
        session.rollback()
        columns = (Recipient.status, Recipient.facts, Recipient.opens, Recipient.clicks,
                   Recipient.delivered_at, Recipient.bounced_at, Recipient.opened_at)  # fmt: skip
        return [tuple(row) for row in session.execute(select(*columns).order_by(Recipient.id))]

    before = ledger()
    erasure.erase(sessions, ana.id, now, keep_out=False)
    session.rollback()
    query = select(Event.raw).where(Event.recipient_id == rows[0].id)
    raws = [unpack(raw or b"").lower() for raw in session.scalars(query)]
    assert len(raws) == 5
    assert not [
        raw for raw in raws for word in ("ana", "mozilla", "203.0.113", "https:") if word in raw
    ]
    assert not has_purged_events(session, campaign.id)
    with writing(session):
        replay_step(session, campaign.id, 0, now, raise_only=False)
    assert ledger() == before
    assert read_counters(session, campaign.id) == recount(session, campaign.id)
    assert ANA not in session.scalars(select(Suppression.address)).all()


def test_nobody_is_erased_while_a_mail_is_out(
    sessions: sessionmaker[Session], session: Session, ana: Contact, now: datetime
) -> None:
    with writing(session):
        add_sending(session, add_campaign(session, now, status=CampaignStatus.SENDING), [ANA], now)
    with pytest.raises(Refused, match="being sent"):
        erasure.erase(sessions, ana.id, now, keep_out=False)
    session.rollback()
    assert contacts.get_contact(session, ana.id).address == ANA


def test_history_is_carried_over_once_it_has_settled(
    session: Session, ana: Contact, now: datetime
) -> None:
    opened = now + timedelta(seconds=5)
    sent_row(session, now, last_opened_at=opened, opened_at=opened, opens=1)
    with writing(session):
        assert contact_history.carry_over(session, now) == 0
    later = now + timedelta(minutes=1)
    with writing(session):
        assert contact_history.carry_over(session, later) == 3
    session.expire_all()
    assert (ana.last_mailed_at, ana.last_opened_at) == (now, opened)
    assert ana.last_clicked_at is None
    with writing(session):
        assert contact_history.carry_over(session, later) == 0


def test_history_of_many_rows_of_one_moment_is_not_cut(
    session: Session, ana: Contact, now: datetime
) -> None:
    with writing(session):
        campaign = add_campaign(session, now, status=CampaignStatus.SENT)
        for number, emails in enumerate((["a@example.com"], ["b@example.com", ANA])):
            at = now + timedelta(seconds=number)
            add_recipients(session, campaign, emails, now, facts=Fact.ACCEPTED, sent_at=at)
    later = now + timedelta(minutes=1)
    looked = []
    for _ in range(3):
        with writing(session):
            looked.append(contact_history.carry_over(session, later, limit=2))
    assert looked == [1, 2, 0]
    session.expire_all()
    assert ana.last_mailed_at == now + timedelta(seconds=1)

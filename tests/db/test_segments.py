"""Segments: each condition alone, all together, saved, and as the audience of a campaign."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from audience_models import Contact
from database import writing
from domain.segments import Conditions, Deed, FieldCondition, FieldTest, TimeCondition, When
from domain.statuses import AudienceKind, CampaignStatus, Fact, MailOutcome
from services import (
    audience_query,
    audiences,
    contacts,
    list_members,
    lists,
    segment_counts,
    segments,
)
from services.audiences import Source
from services.campaigns import Refused
from tests.factories import add_campaign, add_recipients

NAMES = {"ana", "bo", "cy"}


@pytest.fixture
def people(session: Session, now: datetime) -> tuple[int, int]:
    """Ana of Bonn opened lately, Bo of Köln long ago, Cy has no city; a list and a campaign."""
    today = datetime.now(UTC)
    with writing(session):
        found = lists.create_list(session, "Readers", "", now, None).id
        other = lists.create_list(session, "Others", "", now, None).id
        for name, city, opened in (
            ("ana", "Bonn", today - timedelta(days=2)),
            ("bo", "Köln 50%", today - timedelta(days=200)),
            ("cy", "", None),
        ):
            at = other if name == "cy" else found
            list_members.add_one(session, at, f"{name}@example.com", {"city": city}, now)
            address = f"{name}@example.com"
            contact = session.scalars(select(Contact).where(Contact.address == address)).one()
            contact.last_opened_at = opened
            if name != "bo":
                contacts.set_tags(session, contact.id, ["vip"])
        campaign = add_campaign(session, now, status=CampaignStatus.SENT)
        facts = Fact.ACCEPTED | Fact.DELIVERED
        add_recipients(session, campaign, ["ana@example.com"], now, facts=facts, clicked_at=now)
        add_recipients(session, campaign, ["bo@example.com"], now, facts=facts)
        return found, campaign.id


def matching(session: Session, conditions: Conditions) -> set[str]:
    found = {one.email.partition("@")[0] for one in segments.sample(session, conditions)}
    assert segment_counts.count(session, conditions) == len(found)
    return found


@pytest.mark.parametrize(
    ("name", "test", "value", "wanted"),
    [
        ("city", FieldTest.IS, "BONN", {"ana"}),
        ("city", FieldTest.IS_NOT, "bonn", {"bo", "cy"}),
        ("city", FieldTest.CONTAINS, "50%", {"bo"}),
        ("city", FieldTest.CONTAINS, "%", {"bo"}),
        ("city", FieldTest.BEGINS, "bo", {"ana"}),
        ("city", FieldTest.FILLED, "", {"ana", "bo"}),
        ("city", FieldTest.EMPTY, "", {"cy"}),
        ("unknown", FieldTest.EMPTY, "", NAMES),
        ("email", FieldTest.BEGINS, "Ana@", {"ana"}),
    ],
)
@pytest.mark.usefixtures("people")
def test_a_field_is_compared_without_regard_to_capitals(
    name: str, test: FieldTest, value: str, wanted: set[str], session: Session
) -> None:
    asked = Conditions(fields=(FieldCondition(name, test, value),))
    assert matching(session, asked) == wanted


@pytest.mark.parametrize(
    ("when", "days", "wanted"),
    [
        (When.WITHIN, 30, {"ana"}),
        (When.WITHIN, 365, {"ana", "bo"}),
        (When.NOT_WITHIN, 30, {"bo", "cy"}),
    ],
)
@pytest.mark.usefixtures("people")
def test_opens_are_asked_by_their_age(
    when: When, days: int, wanted: set[str], session: Session
) -> None:
    assert matching(session, Conditions(times=(TimeCondition(Deed.OPENED, when, days),))) == wanted


def test_lists_tags_and_outcomes_narrow_and_all_must_hold(
    session: Session, people: tuple[int, int]
) -> None:
    list_id, campaign_id = people
    clicked = MailOutcome.CLICKED
    assert matching(session, Conditions()) == NAMES
    assert matching(session, Conditions(list_id=list_id)) == {"ana", "bo"}
    assert matching(session, Conditions(tag="vip")) == {"ana", "cy"}
    assert matching(session, Conditions(without_tag="vip")) == {"bo"}
    assert matching(session, Conditions(campaign_id=campaign_id)) == {"ana", "bo"}
    assert matching(session, Conditions(campaign_id=campaign_id, outcome=clicked)) == {"ana"}
    both = Conditions(list_id=list_id, without_tag="vip", campaign_id=campaign_id, outcome=clicked)
    assert matching(session, both) == set()


def test_a_segment_is_saved_as_it_was_asked_and_named_once(session: Session, now: datetime) -> None:
    asked = Conditions(
        fields=(FieldCondition("city", FieldTest.IS, "Bonn"),),
        times=(TimeCondition(Deed.CLICKED, When.NOT_WITHIN, 90),),
        campaign_id=7,
        outcome=MailOutcome.NOT_OPENED,
    )
    with writing(session):
        made = segments.save(session, None, "Sleepers", asked, now)
    stored = json.loads(json.dumps(segments.get_segment(session, made.id).conditions))
    assert Conditions.of_json(stored) == asked
    with writing(session), pytest.raises(Refused, match="already"):
        segments.save(session, None, "sleepers", asked, now)
    with writing(session):
        segments.save(session, made.id, "Sleepers", Conditions(tag="vip"), now)
        segments.remove(session, made.id)
    assert segments.all_segments(session) == []


def test_a_segment_is_an_audience_and_its_deletion_stands_against_the_launch(
    session: Session, people: tuple[int, int], now: datetime
) -> None:
    with writing(session):
        made = segments.save(session, None, "VIPs", Conditions(tag="vip"), now)
        draft = add_campaign(session, now)
        source = Source(AudienceKind.SEGMENT, made.id)
        audiences.choose(session, draft.id, [source], now)
    assert draft.variables == ["name", "city"]
    assert audience_query.size(session, draft.id) == 2
    assert audience_query.problems(session, draft.id) == []
    with writing(session):
        segments.remove(session, made.id)
    assert audience_query.size(session, draft.id) == 0
    assert "segment" in (audience_query.problems(session, draft.id) or [""])[0]

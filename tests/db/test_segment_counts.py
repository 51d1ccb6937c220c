"""Counts of segments: the same from every table, exact where quick, else a fair estimate."""

from __future__ import annotations

import itertools
import random
from datetime import datetime

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from audience_models import Contact
from database import is_sqlite, writing
from domain.segments import Conditions, FieldCondition, FieldTest
from domain.statuses import CampaignStatus, Fact, MailOutcome, MemberStatus
from services import contacts, list_members, lists, segment_counts, segment_query
from tests.factories import add_campaign, add_recipients

PEOPLE = 60


@pytest.fixture
def people(session: Session, now: datetime) -> tuple[int, int]:
    """Sixty people on a list, some tagged, some unsubscribed, some recipients of a campaign."""
    with writing(session):
        list_id = lists.create_list(session, "Readers", "", now, None).id
        for number in range(PEOPLE):
            address = f"p{number}@example.com"
            list_members.add_one(session, list_id, address, {"n": str(number)}, now)
            contact = session.scalars(select(Contact).where(Contact.address == address)).one()
            tags = [tag for tag, every in (("vip", 2), ("new", 3)) if number % every == 0]
            contacts.set_tags(session, contact.id, tags)
            if number % 5 == 0:
                no = MemberStatus.UNSUBSCRIBED
                list_members.set_status(session, list_id, contact.id, no, now)
        campaign = add_campaign(session, now, status=CampaignStatus.SENT)
        facts = Fact.ACCEPTED | Fact.DELIVERED
        for number in range(0, PEOPLE, 4):
            opened = {"opened_at": now} if number % 8 == 0 else {}
            add_recipients(
                session, campaign, [f"p{number}@example.com"], now, facts=facts, **opened
            )
        add_recipients(session, campaign, ["stranger@example.com"], now, facts=facts)
        return list_id, campaign.id


def test_every_way_to_count_finds_the_same(session: Session, people: tuple[int, int]) -> None:
    list_id, campaign_id = people
    begins = FieldCondition("email", FieldTest.BEGINS, "P1")
    choices = itertools.product(
        (None, list_id), (None, "vip", "nobody"), (None, "new"),
        ((None, None), (campaign_id, None), (campaign_id, MailOutcome.OPENED)), ((), (begins,)),
    )  # fmt: skip
    for on_list, tag, without, (campaign, outcome), fields in choices:
        asked = Conditions(
            fields=fields, list_id=on_list, tag=tag, without_tag=without,
            campaign_id=campaign, outcome=outcome,
        )  # fmt: skip
        plain = select(func.count()).select_from(Contact)
        expected = session.scalar(plain.where(segment_query.matching(session, asked)))
        assert segment_counts.count(session, asked) == expected, asked


@pytest.mark.usefixtures("people")
def test_a_quick_count_is_exact(session: Session) -> None:
    counted = segment_counts.count_at_once(
        session, Conditions(tag="vip"), random.Random(1), patience=30.0
    )
    assert counted == segment_counts.Counted(PEOPLE // 2, True)


@pytest.mark.usefixtures("people")
def test_a_slow_count_is_stopped_and_the_session_goes_on(session: Session) -> None:
    slow = text(_ENDLESS if is_sqlite(session) else "SELECT pg_sleep(20)")
    assert segment_counts.within(session, 0.02, lambda: session.execute(slow).all()) is None
    assert session.scalar(select(func.count()).select_from(Contact)) == PEOPLE
    if not is_sqlite(session):
        assert session.scalar(text("SHOW statement_timeout")) == "0"


_ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) "
    "SELECT count(*) FROM n"
)


@pytest.mark.usefixtures("people")
def test_other_errors_are_not_swallowed_by_the_limit(session: Session) -> None:
    wrong = text("SELECT 1 FROM nowhere")
    with pytest.raises(DBAPIError, match="nowhere"):
        segment_counts.within(session, 5.0, lambda: session.execute(wrong))


def test_an_estimate_is_close_and_rounded(session: Session, now: datetime) -> None:
    with writing(session):
        session.execute(text(_MANY if is_sqlite(session) else _MANY_PG), {"now": now.timestamp()})
    half = Conditions(fields=(FieldCondition("n", FieldTest.IS, "1"),))
    guess = segment_counts.estimate(session, half, random.Random(7))
    assert abs(guess - 10_000) < 1_000
    assert guess % 1000 == 0
    nobody = Conditions(fields=(FieldCondition("n", FieldTest.IS, "5"),))
    assert segment_counts.estimate(session, nobody, random.Random(7)) == 0


_MANY = """INSERT INTO contacts (email, address, address_hash, variables, created_at, updated_at)
 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
 SELECT 'p' || i, 'p' || i, randomblob(16), '{"n"\\: "' || (i % 2) || '"}', :now, :now FROM n"""
_MANY_PG = _MANY.replace("randomblob(16)", "decode(md5(i\\:\\:text), 'hex')")


def test_nobody_is_estimated_among_nobody(session: Session) -> None:
    assert segment_counts.estimate(session, Conditions(tag="x"), random.Random(1)) == 0

"""Pages of recipients and the story of one, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from database import writing
from domain.statuses import Fact, RecipientStatus
from models import PastAttempt, Recipient
from services.delivery_events import store
from services.recipient_list import find_recipient, recipient_page
from services.recipient_timeline import timeline
from tests.factories import add_campaign, add_recipients, add_sending
from tests.ses_messages import incoming, mail_events


@pytest.fixture
def campaign_id(session: Session, now: datetime) -> int:
    """Ten waiting and three skipped recipients, and another campaign with one."""
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, [f"{c}@example.com" for c in "jihgfedcba"], now)
        skipped = ["Aa@Example.com", "a_b@example.net", "ä@example.org"]
        add_recipients(session, campaign, skipped, now, facts=Fact.SKIPPED)
        other = add_campaign(session, now)
        add_recipients(session, other, ["a@example.com"], now)
        return campaign.id


def test_pages_are_in_import_order_both_ways(session: Session, campaign_id: int) -> None:
    first = recipient_page(session, campaign_id, limit=5)
    assert [row.email[0] for row in first.rows] == list("jihgf")
    assert first.before is None
    second = recipient_page(session, campaign_id, after=first.after, limit=5)
    assert [row.email[0] for row in second.rows] == list("edcba")
    back = recipient_page(session, campaign_id, before=second.before, limit=5)
    assert back == first
    last = recipient_page(session, campaign_id, after=second.after, limit=5)
    assert len(last.rows) == 3
    assert last.after is None


def test_search_is_in_the_order_of_addresses_and_stays_in_the_campaign(
    session: Session, campaign_id: int
) -> None:
    found = recipient_page(session, campaign_id, text="A", limit=2)
    assert [row.address for row in found.rows] == ["a@example.com", "a_b@example.net"]
    more = recipient_page(session, campaign_id, text="A", after=found.after, limit=2)
    assert [row.address for row in more.rows] == ["aa@example.com"]
    back = recipient_page(session, campaign_id, text="A", before=more.before, limit=2)
    assert [row.id for row in back.rows] == [row.id for row in found.rows]


def test_search_by_domain_is_in_the_order_of_domains_and_then_of_import(
    session: Session, campaign_id: int
) -> None:
    first = recipient_page(session, campaign_id, text="@example", limit=11)
    assert [row.email[0].lower() for row in first.rows] == list("jihgfedcbaa")
    second = recipient_page(session, campaign_id, text="@example", after=first.after, limit=1)
    assert [row.address for row in second.rows] == ["a_b@example.net"]
    last = recipient_page(session, campaign_id, text="@example", after=second.after, limit=5)
    assert [row.domain for row in last.rows] == ["example.org"]
    assert last.after is None
    back = recipient_page(session, campaign_id, text="@example", before=last.before, limit=2)
    assert [row.address for row in back.rows] == ["aa@example.com", "a_b@example.net"]
    assert recipient_page(session, campaign_id, text="@example", before=back.before).rows == (
        recipient_page(session, campaign_id, text="@example", limit=10).rows
    )


def test_domain_is_what_follows_the_last_at_sign(session: Session, now: datetime) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        emails = ['"odd@name"@example.com', "moc@com.moc.com", "x@müll.example"]
        rows = add_recipients(session, campaign, emails, now)
    session.expire_all()
    domains = [row.domain for row in rows]
    assert domains == ["example.com", "com.moc.com", "xn--mll-hoa.example"]
    assert len(recipient_page(session, campaign.id, text="@MÜLL.example").rows) == 1


@pytest.mark.parametrize("few", [0, 20_000])
@pytest.mark.parametrize(
    ("text", "found"),
    [("", 3), ("a", 2), ("@example", 3), ("@example.com", 1), ("z", 0), ("@nobody", 0)],
)
def test_small_and_large_states_are_searched_alike(
    session: Session, campaign_id: int, monkeypatch: pytest.MonkeyPatch, few: int, text: str,
    found: int,
) -> None:  # fmt: skip
    monkeypatch.setattr("services.recipient_list._FEW_ROWS", few)
    skipped = RecipientStatus.SKIPPED
    whole = recipient_page(session, campaign_id, status=skipped, text=text).rows
    assert len(whole) == found
    pages: list[Recipient] = []
    after = None
    for _ in range(found):
        page = recipient_page(session, campaign_id, status=skipped, text=text, after=after, limit=1)
        pages += page.rows
        after = page.after
    assert (pages, after) == (whole, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@example.net", 1),
        ("@EXAMPLE.com", 11),
        ("a_", 1),
        ("%", 0),
        ("ä", 1),
        ("@", 13),
        ("@exa", 13),
        ("", 13),
    ],
)
def test_wildcards_are_plain_letters(
    session: Session, campaign_id: int, text: str, found: int
) -> None:
    assert len(recipient_page(session, campaign_id, text=text).rows) == found


def test_state_and_search_narrow_together(session: Session, campaign_id: int) -> None:
    skipped = RecipientStatus.SKIPPED
    assert len(recipient_page(session, campaign_id, status=skipped).rows) == 3
    rows = recipient_page(session, campaign_id, status=skipped, text="a").rows
    assert [row.address for row in rows] == ["a_b@example.net", "aa@example.com"]


def test_recipient_is_found_in_its_own_campaign_only(session: Session, campaign_id: int) -> None:
    row = recipient_page(session, campaign_id, limit=1).rows[0]
    assert find_recipient(session, campaign_id, row.id) is row
    assert find_recipient(session, campaign_id + 1, row.id) is None


def test_earlier_attempts_stand_in_the_story(session: Session, now: datetime) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        [row] = add_sending(session, campaign, ["a@example.com"], now + timedelta(minutes=9))
        row.attempts = 2
        session.add(PastAttempt(
            attempt_id="e" * 32, recipient_id=row.id, facts=int(Fact.CLAIMED | Fact.DOUBTED),
            submitted_at=now, ended_at=now + timedelta(minutes=5), ended_because="Sent again.",
        ))  # fmt: skip
    told = [(moment.kind, moment.older_attempt) for moment in timeline(session, row)]
    assert told == [("submitted", True), ("replaced", True), ("submitted", False)]


def test_the_timeline_says_once_that_ses_took_the_mail(session: Session, now: datetime) -> None:
    with writing(session):
        (row,) = add_sending(session, add_campaign(session, now), ["a@example.com"], now)
        row.sent_at = now
    told = [moment.kind for moment in timeline(session, row)]
    assert told == ["submitted", "Send"]
    with writing(session):
        store(session, incoming([mail_events(session, row, now).send()]), now)
    assert [moment.kind for moment in timeline(session, row)] == told

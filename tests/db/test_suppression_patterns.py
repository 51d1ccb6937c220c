"""Domains and wildcards on the suppression list, asked in SQL and by keys, on both databases."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Audience, AudienceSource, Contact
from database import writing
from domain.addresses import address_hash, address_key
from domain.statuses import AudienceKind, RecipientStatus, SuppressionReason
from domain.suppression_patterns import Pattern, parse_pattern
from models import Recipient, SuppressedPattern, Suppression
from services import (
    audience_query,
    claims,
    left_out,
    list_imports,
    list_members,
    lists,
    suppression,
    suppression_patterns,
)
from services.installation import address_key_secret
from services.recipient_timeline import timeline
from services.recipients import import_file
from tests.factories import add_campaign, add_recipients

PEOPLE = [
    "ana@example.com", "Ana@Eu.Example.com", "ana@a.b.example.com", "ana@notexample.com",
    "sales@example.org", "resales@example.org", "sales.eu@example.org", "bo@example.net",
]  # fmt: skip
CASES = [
    ("example.com", ["ana@example.com"]),
    ("*.example.com", ["ana@eu.example.com", "ana@a.b.example.com"]),
    ("*.b.example.com", ["ana@a.b.example.com"]),
    ("sales@*", ["sales@example.org"]),
    ("example.example", []),
]


def block(session: Session, text: str, now: datetime) -> bool:
    pattern = parse_pattern(text)
    assert isinstance(pattern, Pattern)
    with writing(session):
        return suppression.suppress_pattern(
            session, pattern, SuppressionReason.MANUAL, "a test", now
        )


@pytest.mark.parametrize(("pattern", "covered"), CASES)
def test_sql_and_keys_agree_on_who_is_covered(
    pattern: str, covered: list[str], session: Session, now: datetime
) -> None:
    with writing(session):
        add_recipients(session, add_campaign(session, now), PEOPLE, now)
        for address in map(address_key, PEOPLE):
            hashed = address_hash(address_key_secret(session), address)
            session.add(
                Contact(email=address, address=address, address_hash=hashed,
                        created_at=now, updated_at=now)
            )  # fmt: skip
    assert block(session, pattern, now)
    by_keys = suppression_patterns.covering(session, map(address_key, PEOPLE))
    rows = select(Recipient.address).where(
        suppression_patterns.covered("recipients", "domain") == 1
    )
    contacts = select(Contact.address).where(suppression_patterns.covered("contacts") == 1)
    assert set(by_keys) == set(covered)
    assert set(session.scalars(rows)) == set(covered)
    assert set(session.scalars(contacts)) == set(covered)


def test_the_claim_skips_who_is_covered_and_says_why(session: Session, now: datetime) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, PEOPLE, now)
    block(session, "example.com", now)
    block(session, "sales@*", now)
    with writing(session):
        claim = claims.claim(
            session, campaign_id=campaign.id, limit=20, worker="w", lease_seconds=60
        )
    assert claim.skipped == 2
    skipped = select(Recipient.address, Recipient.reason_code, Recipient.reason).where(
        Recipient.status == RecipientStatus.SKIPPED
    )
    why = "On the suppression list: a domain or wildcard covers this address."
    assert {tuple(row) for row in session.execute(skipped)} == {
        ("ana@example.com", "suppressed", why),
        ("sales@example.org", "suppressed", why),
    }


def test_a_persons_own_entry_is_the_reason_that_is_told(session: Session, now: datetime) -> None:
    block(session, "example.com", now)
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, ["ana@example.com"], now)
        suppression.suppress(
            session, "ana@example.com", SuppressionReason.UNSUBSCRIBED, "a test", None, now
        )
        claims.claim(session, campaign_id=campaign.id, limit=5, worker="w", lease_seconds=60)
    assert session.scalars(select(Recipient.reason_code)).one() == "unsubscribed"
    found = suppression.find(session, "ana@example.com")
    assert found is not None
    assert found.reason is SuppressionReason.UNSUBSCRIBED


def test_finding_an_address_finds_the_pattern_that_covers_it(
    session: Session, now: datetime
) -> None:
    assert block(session, "*.example.com", now)
    assert not block(session, "*@*.EXAMPLE.com", now)
    found = suppression.find(session, "Ana@eu.example.com")
    assert found is not None
    assert found.address == "*@*.example.com"
    assert suppression.find(session, "ana@example.com") is None
    secret = address_key_secret(session)
    people = {address_hash(secret, name): name for name in ("a@x.example.com", "a@example.com")}
    assert list(suppression.suppressed_people(session, people).values()) == [None]


def test_taking_a_pattern_off_the_list_frees_everybody(session: Session, now: datetime) -> None:
    block(session, "example.com", now)
    block(session, "example.org", now)
    with writing(session):
        assert suppression.unsuppress(session, "@example.com")
        assert not suppression.unsuppress(session, "@example.com")
    assert suppression.find(session, "ana@example.com") is None
    with writing(session):
        session.execute(delete(Suppression))
    assert session.scalar(select(func.count()).select_from(SuppressedPattern)) == 0


def test_imports_into_campaigns_and_lists_heed_patterns(
    sessions: sessionmaker[Session], session: Session, now: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("email\nana@example.com\nbo@eu.example.com\nzoe@example.net\n")
    block(session, "*.example.com", now)
    with writing(session):
        campaign_id = add_campaign(session, now).id
        list_id = lists.create_list(session, "News", "", now, None).id
    report = import_file(sessions, campaign_id, path, "people.csv", clock=lambda: now)
    assert (report.counts.added, report.counts.suppressed) == (2, 1)
    row = session.scalars(select(Recipient).where(Recipient.address.like("bo@%"))).one()
    assert row.status is RecipientStatus.SKIPPED
    assert row.reason == "On the suppression list: a domain or wildcard covers this address."
    listed = list_imports.import_file(sessions, list_id, path, "people.csv", clock=lambda: now)
    assert (listed.counts.added, listed.counts.suppressed) == (2, 1)
    session.rollback()
    page = lists.member_page(session, list_id)
    assert {member.contact.email: member.suppressed for member in page.rows} == {
        "ana@example.com": None,
        "bo@eu.example.com": SuppressionReason.MANUAL,
        "zoe@example.net": None,
    }


@pytest.mark.parametrize("counted", [20_000, 3])
def test_the_decision_counts_who_is_covered(
    counted: int, session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_out, "COUNTED_ROWS", counted)
    monkeypatch.setattr(left_out, "_PARTS", 1)
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, PEOPLE, now)
        suppression.suppress(
            session, "ana@example.com", SuppressionReason.BOUNCED, "a test", None, now
        )
    block(session, "example.com", now)
    block(session, "sales@*", now)
    told = left_out.left_out(session, campaign, len(PEOPLE))
    assert told.about is (counted == 3)
    assert told.suppressed == 2


def test_people_who_are_still_to_come_from_a_list_are_counted(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        one = lists.create_list(session, "News", "", now, None)
        for address in PEOPLE:
            list_members.add_one(session, one.id, address, {}, now)
        session.add(Audience(campaign_id=campaign.id))
        session.flush()
        session.add(AudienceSource(campaign_id=campaign.id, kind=AudienceKind.LIST, of_id=one.id))
    block(session, "*.example.com", now)
    told = audience_query.to_come(session, campaign, random.Random(1))
    assert told == audience_query.ToCome(people=8, suppressed=2)
    monkeypatch.setattr(audience_query, "_LOOKED_AT", 2)
    told = audience_query.to_come(session, campaign, random.Random(1))
    assert told.about, "whom patterns cover is reckoned from a part of many people"


def test_the_story_of_a_recipient_names_the_pattern(session: Session, now: datetime) -> None:
    with writing(session):
        [row] = add_recipients(session, add_campaign(session, now), ["ana@example.com"], now)
    block(session, "example.com", now)
    [moment] = [one for one in timeline(session, row) if one.kind == "suppressed"]
    assert moment.sentence == "*@example.com. a test"

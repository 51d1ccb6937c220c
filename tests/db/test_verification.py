"""The verification ladder, with real DNS questions to a server of our own."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import Fact, SuppressionReason, Verdict
from domain.verification import DomainFinding, Past, judge
from models import MailDomain, Recipient
from services import suppression
from services.campaigns import NotFound
from services.mail_domains import KEPT, MxResolver
from services.verification import verdict_counts, verify
from services.verified_people import CampaignPeople
from tests.dns_server import Zones, dns_server
from tests.factories import add_campaign, add_recipients

Sessions = sessionmaker[Session]
GOOD, RISKY = Verdict.DELIVERABLE, Verdict.RISKY
BAD, UNKNOWN = Verdict.UNDELIVERABLE, Verdict.UNKNOWN


@pytest.fixture
def zones() -> Zones:
    return Zones(
        mx={"good.example": ["mx.good.example"], "never.example": ["."],
            "gmial.com": ["mx.x.example"], "mailinator.com": ["mx.m.example"]},
        a={"host.example": "192.0.2.1"},
        broken={"broken.example"},
    )  # fmt: skip


@pytest.fixture
def resolver(zones: Zones) -> Iterator[MxResolver]:
    with dns_server(zones) as address:
        yield MxResolver([address], seconds=2.0)


def test_each_answer_of_dns_has_its_meaning(resolver: MxResolver) -> None:
    found = resolver.look_up(
        ["good.example", "never.example", "host.example", "broken.example", "gone.example"]
    )
    assert {name: one.verdict for name, one in found.items()} == {
        "good.example": GOOD,
        "never.example": BAD,
        "host.example": GOOD,
        "broken.example": UNKNOWN,
        "gone.example": BAD,
    }
    assert "null MX" in found["never.example"].reason


def test_a_name_is_asked_for_once(resolver: MxResolver, zones: Zones) -> None:
    resolver.look_up(["good.example"])
    resolver.look_up(["good.example"])
    assert zones.questions.count("good.example") == 1


def test_silence_is_unknown_and_a_dead_network_ends_quickly(zones: Zones) -> None:
    zones.all_silent = True
    with dns_server(zones) as address:
        resolver = MxResolver([address], seconds=0.3, at_once=20)
        found = resolver.look_up([f"d{number}.example" for number in range(2000)])
    assert {one.verdict for one in found.values()} == {UNKNOWN}
    assert len(zones.questions) < 200


def test_a_server_that_knows_no_name_at_all_is_not_believed(zones: Zones) -> None:
    zones.isolated = True
    with dns_server(zones) as address:
        found = MxResolver([address]).look_up(["gone.example", "good.example", "never.example"])
    assert {name: one.verdict for name, one in found.items()} == {
        "gone.example": UNKNOWN,
        "good.example": GOOD,
        "never.example": BAD,
    }


def test_one_silent_domain_is_not_held_against_the_others(zones: Zones) -> None:
    zones.silent.add("slow.example")
    with dns_server(zones) as address:
        found = MxResolver([address], seconds=0.4).look_up(["slow.example", "good.example"])
    assert (found["slow.example"].verdict, found["good.example"].verdict) == (UNKNOWN, GOOD)


@pytest.mark.parametrize(
    ("email", "domain", "past", "verdict", "words"),
    [
        ("ana@good.example", GOOD, None, GOOD, "takes mail"),
        ("not an address", GOOD, None, BAD, "no @"),
        ("ana@good.example", GOOD, Past.BOUNCED, BAD, "bounced for good"),
        ("ana@good.example", BAD, Past.DELIVERED, BAD, "said"),
        ("ana@good.example", UNKNOWN, None, UNKNOWN, "said"),
        ("ana@good.example", UNKNOWN, Past.DELIVERED, GOOD, "delivered"),
        ("ana@good.example", GOOD, Past.COMPLAINED, RISKY, "complained"),
        ("ana@gmial.com", GOOD, None, RISKY, "gmail.com"),
        ("ana@gmial.com", BAD, None, BAD, "gmail.com"),
        ("x@mailinator.com", GOOD, None, RISKY, "throw-away"),
        ("info@good.example", GOOD, None, RISKY, "shared"),
        ("info@good.example", UNKNOWN, None, RISKY, "shared"),
    ],
)
def test_what_is_known_amounts_to_a_verdict(
    email: str, domain: Verdict, past: Past | None, verdict: Verdict, words: str
) -> None:
    reason = "The domain takes mail." if domain is GOOD else "What DNS said."
    found = judge(email, DomainFinding(domain, reason), past)
    assert found.verdict is verdict
    assert words in found.reason.lower() or words in found.reason


@pytest.fixture
def campaign_id(sessions: Sessions, now: datetime) -> int:
    emails = ["ana@good.example", "bo@never.example", "cy@gone.example", "di@broken.example",
              "info@good.example", "eve@gmial.com", "fay@host.example", "old@good.example",
              "known@broken.example"]  # fmt: skip
    with sessions() as session, writing(session):
        earlier = add_campaign(session, now, launched_at=now)
        add_recipients(session, earlier, ["known@broken.example"], now, facts=Fact.DELIVERED)
        add_recipients(session, earlier, ["old@good.example"], now, facts=Fact.BOUNCED)
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, emails, now)
        return campaign.id


def test_a_campaign_is_verified_with_a_reason_for_every_row(
    sessions: Sessions, session: Session, campaign_id: int, resolver: MxResolver, now: datetime
) -> None:
    report = verify(sessions, CampaignPeople(campaign_id), resolver=resolver, clock=lambda: now)
    assert report.as_json() == {"deliverable": 3, "risky": 2, "undeliverable": 3, "unknown": 1}
    rows = session.scalars(select(Recipient).where(Recipient.campaign_id == campaign_id)).all()
    assert all(row.verdict_reason for row in rows)
    verdicts = {row.email: row.verdict for row in rows}
    assert verdicts["old@good.example"] is BAD
    assert verdicts["known@broken.example"] is GOOD
    assert verdict_counts(session, campaign_id) == {GOOD: 3, RISKY: 2, BAD: 3, UNKNOWN: 1}


def test_suppressed_addresses_count_as_history(
    sessions: Sessions, session: Session, campaign_id: int, resolver: MxResolver, now: datetime
) -> None:
    with writing(session):
        suppression.suppress(
            session, "ana@good.example", SuppressionReason.BOUNCED, "a test", None, now
        )
    report = verify(sessions, CampaignPeople(campaign_id), resolver=resolver, clock=lambda: now)
    assert report.counts[BAD] == 4


def test_answers_are_kept_for_days_and_failures_are_not(
    sessions: Sessions,
    session: Session,
    campaign_id: int,
    resolver: MxResolver,
    zones: Zones,
    now: datetime,
) -> None:
    verify(sessions, CampaignPeople(campaign_id), resolver=resolver, clock=lambda: now)
    kept = set(session.scalars(select(MailDomain.domain)))
    assert kept == {"good.example", "never.example", "gone.example", "gmial.com", "host.example"}
    zones.questions.clear()
    with dns_server(zones) as address:
        fresh = MxResolver([address], seconds=2.0)
        verify(sessions, CampaignPeople(campaign_id), resolver=fresh, clock=lambda: now)
        assert set(zones.questions) == {"broken.example"}
        later = now + KEPT + timedelta(hours=1)
        verify(sessions, CampaignPeople(campaign_id), resolver=fresh, clock=lambda: later)
    assert "good.example" in zones.questions


def test_a_verification_can_be_stopped(
    sessions: Sessions, session: Session, resolver: MxResolver, now: datetime
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, now).id
        campaign = session.merge(add_campaign(session, now))
        add_recipients(session, campaign, [f"u{n}@good.example" for n in range(900)], now)
    report = verify(
        sessions,
        CampaignPeople(campaign.id),
        resolver=resolver,
        clock=lambda: now,
        should_stop=lambda: True,
    )
    assert report.stopped
    assert 0 < sum(report.counts.values()) < 900
    whole = verify(sessions, CampaignPeople(campaign_id), resolver=resolver, clock=lambda: now)
    assert sum(whole.counts.values()) == 0


def test_there_must_be_a_campaign(sessions: Sessions, resolver: MxResolver, now: datetime) -> None:
    with pytest.raises(NotFound):
        verify(sessions, CampaignPeople(99), resolver=resolver, clock=lambda: now)

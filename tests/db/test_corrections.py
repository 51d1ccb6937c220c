"""Misspelt domains, corrected at a person's word and never by themselves."""

from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.addresses import address_hash
from domain.statuses import CampaignStatus, JobKind, RecipientStatus, SuppressionReason, Verdict
from domain.verification import DomainFinding
from models import AddressCorrection, Campaign, Job, Recipient
from services import corrections, job_queue, ledger, mail_domains, suppression
from services.campaigns import Refused
from services.corrections import Kind
from services.installation import address_key_secret
from services.recipient_timeline import timeline
from services.recount import recount
from tests.factories import add_campaign, add_recipients

PEOPLE = ["Ana@gmial.com", "bo@gmial.com", "bo@gmail.com", "cy@outlok.com", "di@example.com",
          "eve@gmial.com"]  # fmt: skip


@pytest.fixture
def campaign_id(sessions: sessionmaker[Session], now: datetime) -> int:
    with sessions() as session, writing(session):
        campaign = add_campaign(session, now)
        for number, email in enumerate(PEOPLE):
            add_recipients(session, campaign, [email], now, line=number + 2)
        suppression.suppress(
            session, "eve@gmail.com", SuppressionReason.UNSUBSCRIBED, "a test", None, now
        )
        return campaign.id


def everybody(session: Session, campaign_id: int) -> dict[str, Recipient]:
    session.rollback()
    rows = session.scalars(
        select(Recipient)
        .where(Recipient.campaign_id == campaign_id)
        .execution_options(populate_existing=True)
    )
    return {row.email: row for row in rows}


def test_misspelt_domains_are_offered_with_how_many_wait(
    session: Session, campaign_id: int
) -> None:
    domains = ["gmial.com", "outlok.com", "example.com", "gmail.com", "hotmial.com"]
    assert corrections.kinds(session, campaign_id, domains) == [
        Kind("gmial.com", "gmail.com", 3),
        Kind("outlok.com", "outlook.com", 1),
    ]
    assert set(everybody(session, campaign_id)) == set(PEOPLE)


def test_a_kind_is_corrected_with_history_duplicates_and_suppression(
    session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session):
        done = corrections.correct(session, campaign_id, now, "owner@x.example", domain="gmial.com")
    assert (done.corrected, done.duplicates, done.suppressed, done.last_id) == (2, 1, 1, None)
    rows = everybody(session, campaign_id)
    ana = rows["Ana@gmail.com"]
    assert (ana.address, ana.domain, ana.status) == ("ana@gmail.com", "gmail.com", "pending")
    assert ana.address_hash == address_hash(address_key_secret(session), "ana@gmail.com")
    assert (ana.verdict, ana.verdict_reason) == (Verdict.UNKNOWN, "The domain was not looked up.")
    twin = rows["bo@gmial.com"]
    assert (twin.status, twin.reason_code) == (RecipientStatus.SKIPPED, "duplicate")
    assert twin.reason is not None
    assert "(line 4)" in twin.reason
    assert (rows["eve@gmail.com"].status, rows["eve@gmail.com"].reason_code) == (
        "skipped",
        "unsubscribed",
    )
    told = [moment.sentence for moment in timeline(session, ana)]
    assert "Corrected from Ana@gmial.com to Ana@gmail.com by owner@x.example." in told
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)
    assert corrections.kinds(session, campaign_id, ["gmial.com"]) == []


def test_one_recipient_alone_can_be_corrected(
    session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session):
        mail_domains.remember(
            session,
            {"gmail.com": DomainFinding(Verdict.DELIVERABLE, "It takes mail.")},
            now,
        )
    ana = everybody(session, campaign_id)["Ana@gmial.com"].id
    with writing(session):
        corrections.correct(session, campaign_id, now, None, recipient_id=ana)
    rows = everybody(session, campaign_id)
    assert rows["Ana@gmail.com"].verdict is Verdict.DELIVERABLE
    assert rows["eve@gmial.com"].status == RecipientStatus.PENDING


def test_a_kind_larger_than_a_step_is_corrected_in_several(
    session: Session, campaign_id: int, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "STEP", 2)
    with writing(session):
        first = corrections.correct(session, campaign_id, now, None, domain="gmial.com")
    assert first.last_id is not None
    with writing(session):
        rest = corrections.correct(
            session, campaign_id, now, None, domain="gmial.com", after=first.last_id
        )
    assert (first.corrected + rest.corrected, first.duplicates + rest.duplicates) == (2, 1)
    assert rest.last_id is None


def test_a_launched_campaign_keeps_its_addresses(
    session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session):
        session.get_one(Campaign, campaign_id).status = CampaignStatus.SENDING
    with pytest.raises(Refused, match="launched"), writing(session):
        corrections.correct(session, campaign_id, now, None, domain="gmial.com")
    assert set(everybody(session, campaign_id)) == set(PEOPLE)


@pytest.mark.parametrize("domain", ["gmail.com", "example.com", "nowhere.example"])
def test_what_is_not_misspelt_is_not_touched(
    session: Session, campaign_id: int, now: datetime, domain: str
) -> None:
    with pytest.raises(Refused, match="nothing to correct"), writing(session):
        corrections.correct(session, campaign_id, now, None, domain=domain)
    assert session.scalars(select(AddressCorrection)).all() == []


def test_the_last_check_learns_that_its_figures_are_old(
    session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session):
        job_id = job_queue.enqueue(session, JobKind.VERIFY, campaign_id, None, {}, None, now).id
    with writing(session):
        corrections.correct(session, campaign_id, now, None, domain="outlok.com")
    assert session.get_one(Job, job_id).result == {"changed": True}

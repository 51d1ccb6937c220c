"""Amazon SES asked about addresses: real boto3 over HTTP to the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact, ListImport
from aws.clients import AwsClients
from database import writing
from domain.statuses import Fact, JobKind, JobStatus, Risk, Verdict
from models import AddressInsight, Job, Recipient
from services import job_queue, jobs, list_members, lists
from services.address_insights import KEPT, Asker
from services.campaigns import Refused
from services.mail_domains import MxResolver
from tests.dns_server import Zones, dns_server
from tests.factories import add_campaign, add_recipients

Sessions = sessionmaker[Session]
PEOPLE = ["ana@good.example", "bounce1@broken.example", "risky2@broken.example",
          "cy@broken.example", "old@broken.example", "gone@missing.example"]  # fmt: skip


@pytest.fixture
def resolver() -> Iterator[MxResolver]:
    zones = Zones(mx={"good.example": ["mx.good.example"]}, broken={"broken.example"})
    with dns_server(zones) as address:
        yield MxResolver([address], seconds=2.0)


@pytest.fixture
def campaign_id(sessions: Sessions, now: datetime) -> int:
    with sessions() as session, writing(session):
        earlier = add_campaign(session, now, launched_at=now)
        add_recipients(session, earlier, ["old@broken.example"], now, facts=Fact.DELIVERED)
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, PEOPLE, now)
        return campaign.id


def check(
    sessions: Sessions, settings: Any, campaign_id: int, resolver: MxResolver, now: datetime,
    ask: list[str],
) -> Job:  # fmt: skip
    with sessions() as session, writing(session):
        queued = job_queue.enqueue(
            session, JobKind.VERIFY, campaign_id, None, {"ask_ses": ask}, None, now
        )
        job_id = queued.id
    return run(sessions, settings, job_id, resolver, now)


def run(sessions: Sessions, settings: Any, job_id: int, resolver: MxResolver, now: datetime) -> Job:
    needs = jobs.Dependencies(
        settings, lambda: pytest.fail("no mail"), lambda: now, make_resolver=lambda: resolver
    )
    with sessions() as session, writing(session):
        jobs.claim_job(session, "w", now)
    jobs.run_job(sessions, job_id, "w", needs)
    with sessions() as session:
        return session.get_one(Job, job_id)


def verdicts(sessions: Sessions, campaign_id: int) -> dict[str, Recipient]:
    with sessions() as session:
        rows = session.scalars(select(Recipient).where(Recipient.campaign_id == campaign_id))
        return {row.email.partition("@")[0]: row for row in rows}


def test_ses_is_asked_about_the_unknown_alone_and_answers_are_kept(
    sessions: Sessions, settings: Any, simulator: Any, campaign_id: int, resolver: MxResolver,
    now: datetime,
) -> None:  # fmt: skip
    job = check(sessions, settings, campaign_id, resolver, now, ["unknown"])
    assert job.status is JobStatus.DONE
    rows = verdicts(sessions, campaign_id)
    assert {name: row.verdict for name, row in rows.items()} == {
        "ana": Verdict.DELIVERABLE,
        "bounce1": Verdict.UNDELIVERABLE,
        "risky2": Verdict.RISKY,
        "cy": Verdict.DELIVERABLE,
        "old": Verdict.DELIVERABLE,
        "gone": Verdict.UNDELIVERABLE,
    }
    assert rows["risky2"].risks == Risk.SES_DOUBTS
    assert "mailbox probably does not exist (Amazon SES, 2 Mar 2026)" in str(
        rows["bounce1"].verdict_reason
    )
    with sessions() as session:
        assert len(session.scalars(select(AddressInsight)).all()) == 3
    simulator.faults.deny.append("GetEmailAddressInsights")  # whoever asked now would fail
    again = check(sessions, settings, campaign_id, resolver, now, ["unknown"])
    assert again.status is JobStatus.DONE
    assert verdicts(sessions, campaign_id)["cy"].verdict is Verdict.DELIVERABLE
    late = check(
        sessions, settings, campaign_id, resolver, now + KEPT + timedelta(days=1), ["unknown"]
    )
    assert late.status is JobStatus.FAILED


def test_ses_is_asked_about_a_list_too(
    sessions: Sessions, settings: Any, simulator: Any, resolver: MxResolver, now: datetime
) -> None:
    with sessions() as session, writing(session):
        found = lists.create_list(session, "Readers", "", now, None)
        for email in PEOPLE:
            list_members.add_one(session, found.id, email, {}, now)
        job = job_queue.enqueue(
            session, JobKind.VERIFY, None, None, {"ask_ses": ["unknown"]}, None, now
        )
        session.add(ListImport(job_id=job.id, list_id=found.id))
        job_id = job.id
    assert run(sessions, settings, job_id, resolver, now).status is JobStatus.DONE
    with sessions() as session:
        rows = session.scalars(select(Contact))
        kept = {row.email.partition("@")[0]: row.verdict for row in rows}
        asked = session.scalars(select(AddressInsight.checked_at)).all()
    assert kept["bounce1"] is Verdict.UNDELIVERABLE
    assert kept["ana"] is Verdict.DELIVERABLE
    assert asked == [now] * 4  # the unknown ones; no campaign of this test knows any


def test_it_is_off_unless_asked_for(
    sessions: Sessions, settings: Any, simulator: Any, campaign_id: int, resolver: MxResolver,
    now: datetime,
) -> None:  # fmt: skip
    simulator.faults.deny.append("GetEmailAddressInsights")
    job = check(sessions, settings, campaign_id, resolver, now, [])
    assert job.status is JobStatus.DONE
    assert verdicts(sessions, campaign_id)["cy"].verdict is Verdict.UNKNOWN


def test_denied_rights_are_one_sentence_that_says_what_to_allow(
    sessions: Sessions, settings: Any, simulator: Any, campaign_id: int, resolver: MxResolver,
    now: datetime,
) -> None:  # fmt: skip
    simulator.faults.deny.append("GetEmailAddressInsights")
    job = check(sessions, settings, campaign_id, resolver, now, ["unknown"])
    assert job.status is JobStatus.FAILED
    assert job.error == (
        "Amazon SES may not be asked about addresses with these credentials: allow "
        "ses:GetEmailAddressInsights in IAM, then ask again."
    )
    with sessions() as session:
        assert session.scalars(select(AddressInsight)).all() == []


class Throttled:
    """A client that says "too many" for a while, as boto3 would."""

    def __init__(self, ses: Any, times: int) -> None:
        self._ses, self._times = ses, times

    def get_email_address_insights(self, **call: Any) -> Any:
        self._times -= 1
        if self._times >= 0:
            answer = {"Error": {"Code": "TooManyRequestsException", "Message": "slow"}}
            raise self._ses.exceptions.TooManyRequestsException(answer, "GetEmailAddressInsights")
        return self._ses.get_email_address_insights(**call)


def test_throttling_slows_the_questions_down_and_loses_none(
    settings: Any, simulator: Any, now: datetime
) -> None:
    moments = [0.0]

    def sleep(seconds: float) -> None:
        moments.append(moments[-1] + seconds)

    with closing(AwsClients(settings)) as clients:
        asker = Asker(Throttled(clients.ses, 2), sleep, lambda: moments[-1])  # type: ignore[arg-type]
        assert asker.ask("ana@good.example", now).verdict is Verdict.DELIVERABLE
        assert asker.per_second < 2
        assert moments[-1] >= 0.6
        for name in ("bo", "cy"):
            asker.ask(f"{name}@good.example", now)
        assert moments[-1] >= 2.0
        stubborn = Asker(Throttled(clients.ses, 99), sleep, lambda: moments[-1])  # type: ignore[arg-type]
        with pytest.raises(Refused, match="no more questions"):
            stubborn.ask("ana@good.example", now)

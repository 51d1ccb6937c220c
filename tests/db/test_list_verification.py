"""A list is verified like a campaign, its misspelt addresses are corrected, and campaigns that
take it know the verdicts."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact
from database import writing
from domain.statuses import AudienceKind, CampaignStatus, JobKind, MemberStatus, Verdict
from models import Recipient
from services import (
    audiences,
    job_queue,
    list_corrections,
    list_imports,
    list_members,
    lists,
    suppression,
)
from services.audiences import Source
from services.campaigns import NotFound, Refused
from services.installation import address_key_secret
from services.mail_domains import MxResolver
from services.verification import verify
from services.verified_people import ListPeople
from tests.dns_server import Zones, dns_server
from tests.factories import add_campaign

Sessions = sessionmaker[Session]
_PEOPLE = ["ana@good.example", "bo@never.example", "info@good.example", "eve@gmial.com",
           "fay@gmial.com", "fay@gmail.com"]  # fmt: skip


@pytest.fixture
def resolver() -> Iterator[MxResolver]:
    zones = Zones(
        mx={"good.example": ["mx.good.example"], "never.example": ["."],
            "gmial.com": ["mx.x.example"], "gmail.com": ["mx.y.example"]},
        a={}, broken=set(),
    )  # fmt: skip
    with dns_server(zones) as address:
        yield MxResolver([address], seconds=2.0)


@pytest.fixture
def list_id(sessions: Sessions, now: datetime) -> int:
    with sessions() as session, writing(session):
        made = lists.create_list(session, "Readers", "", now, None)
        for email in _PEOPLE:
            list_members.add_one(session, made.id, email, {}, now)
        return made.id


def _contacts(sessions: Sessions) -> dict[str, Contact]:
    with sessions() as session:
        return {one.email: one for one in session.scalars(select(Contact))}


def _on(session: Session, list_id: int) -> dict[str, MemberStatus]:
    rows = lists.member_page(session, list_id).rows
    return {row.contact.email: row.status for row in rows}


def test_every_subscribed_member_gets_a_verdict_with_its_reason(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    gone = _contacts(sessions)["ana@good.example"].id
    with sessions() as session, writing(session):
        list_members.set_status(session, list_id, gone, MemberStatus.UNSUBSCRIBED, now)
    report = verify(sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now)
    assert report.as_json() == {"deliverable": 1, "risky": 3, "undeliverable": 1, "unknown": 0}
    assert report.misspelt == {"gmial.com": 2}
    found = _contacts(sessions)
    assert found["ana@good.example"].verdict is None
    assert found["bo@never.example"].verdict is Verdict.UNDELIVERABLE
    assert found["fay@gmail.com"].verified_at == now
    assert all(one.verdict_reason for one in found.values() if one.verdict)


def test_a_list_that_does_not_exist_is_not_verified(
    sessions: Sessions, resolver: MxResolver, now: datetime
) -> None:
    with pytest.raises(NotFound):
        verify(sessions, ListPeople(99), resolver=resolver, clock=lambda: now)


def test_a_check_is_no_import_of_the_list(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    job_id = verify(sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now).job_id
    with sessions() as session:
        assert list_imports.imports_of(session, list_id) == []
    with pytest.raises(Refused):
        list_imports.undo_import(sessions, job_id, now)


def test_a_stopped_check_goes_on_where_it_was(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    with sessions() as session, writing(session):
        for number in range(500):
            list_members.add_one(session, list_id, f"p{number}@good.example", {}, now)
    stopped = verify(
        sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now,
        should_stop=lambda: True,
    )  # fmt: skip
    checked = sum(one.verdict is not None for one in _contacts(sessions).values())
    assert stopped.stopped
    assert 0 < checked < 506
    with sessions() as session, writing(session):
        job_queue.resume(session, stopped.job_id)
        job = job_queue.claim_job(session, "w", now)
        assert job is not None
        assert job.kind is JobKind.VERIFY
    from services.verification import VerificationRun

    run = VerificationRun(sessions, stopped.job_id, "w", resolver, lambda: now)
    assert sum(run.do(ListPeople(list_id)).counts.values()) == 506


def test_misspelt_members_are_corrected_at_a_word_and_keep_what_they_were(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    verify(sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now)
    with sessions() as session, writing(session):
        done = list_corrections.correct(session, list_id, now, domain="gmial.com")
    assert (done.corrected, done.known, done.last_id) == (1, 1, None)
    found = _contacts(sessions)
    eve = found["eve@gmail.com"]
    assert (eve.corrected_from, eve.verdict) == ("eve@gmial.com", Verdict.DELIVERABLE)
    with sessions() as session:
        assert eve.address_hash == suppression.hash_of(session, "eve@gmail.com")
        members = _on(session, list_id)
        assert "fay@gmial.com" not in members
        assert "fay@gmail.com" in members
        assert lists.get_list(session, list_id).members == len(members) == 5
        check = list_corrections.latest_check(session, list_id)
        assert check is not None
        assert check.result is not None
        assert check.result["misspelt"] == {}
    with sessions() as session, pytest.raises(Refused), writing(session):
        list_corrections.correct(session, list_id, now, domain="gmial.com")


def test_a_correction_brings_nobody_back_who_unsubscribed(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    verify(sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now)
    people = _contacts(sessions)
    with sessions() as session, writing(session):
        right, wrong = people["fay@gmail.com"].id, people["fay@gmial.com"].id
        list_members.set_status(session, list_id, right, MemberStatus.UNSUBSCRIBED, now)
        list_corrections.correct(session, list_id, now, contact_id=wrong)
        members = _on(session, list_id)
        assert members["fay@gmail.com"] is MemberStatus.UNSUBSCRIBED
        assert "fay@gmial.com" not in members
        assert lists.get_list(session, list_id).members == 4


def test_only_misspelt_members_of_this_list_are_touched(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    verify(sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now)
    right = _contacts(sessions)["fay@gmail.com"].id
    with sessions() as session, writing(session):
        other = lists.create_list(session, "Others", "", now, None).id
    for of_list, which in ((other, {"domain": "gmial.com"}), (list_id, {"domain": "good.example"}),
                           (list_id, {"contact_id": right})):  # fmt: skip
        with sessions() as session, pytest.raises(Refused), writing(session):
            list_corrections.correct(session, of_list, now, **which)
    assert set(_contacts(sessions)) == set(_PEOPLE)


def test_a_campaign_takes_the_verdicts_along_with_the_people(
    sessions: Sessions, list_id: int, resolver: MxResolver, now: datetime
) -> None:
    verify(sessions, ListPeople(list_id), resolver=resolver, clock=lambda: now)
    with sessions() as session, writing(session):
        campaign = add_campaign(session, now)
        audiences.choose(session, campaign.id, [Source(AudienceKind.LIST, list_id)], now)
        campaign.status = CampaignStatus.SENDING
    audiences.freeze(sessions, campaign.id, now)
    with sessions() as session:
        audiences.copy_step(session, campaign.id, address_key_secret(session), now, 400)
        rows = {row.email: row for row in session.scalars(select(Recipient))}
    assert rows["bo@never.example"].verdict is Verdict.UNDELIVERABLE
    assert "null MX" in (rows["bo@never.example"].verdict_reason or "")
    assert rows["eve@gmial.com"].risks
    assert rows["ana@good.example"].verdict is Verdict.DELIVERABLE

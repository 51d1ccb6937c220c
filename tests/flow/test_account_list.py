"""The suppression list beside the SES account's, over HTTP to the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from aws.suppression_calls import AccountList
from database import writing
from domain.statuses import JobKind, JobStatus, SuppressionReason
from domain.suppression_patterns import Pattern, parse_pattern
from models import AccountSuppression, Job, Suppression
from services import account_list, job_queue, suppression
from services.campaigns import Refused
from services.jobs import Dependencies, run_job

Sessions = sessionmaker[Session]
Deed = Callable[[str], dict[str, Any]]
HERE = {
    "ana@example.com": SuppressionReason.BOUNCED,
    "bo@example.com": SuppressionReason.COMPLAINED,
    "cy@example.com": SuppressionReason.UNSUBSCRIBED,
    "both@example.com": SuppressionReason.BOUNCED,
}


@pytest.fixture
def clients(settings: Any) -> Iterator[AwsClients]:
    """Clients of the simulator."""
    with closing(AwsClients(settings)) as clients:
        yield clients


@pytest.fixture
def waits() -> list[float]:
    """How long was waited between the calls."""
    return []


@pytest.fixture
def account(simulator: Any, clients: AwsClients, waits: list[float]) -> AccountList:
    """The simulator's account with 1,202 addresses on its list: more than a page."""
    clients.ses.put_suppressed_destination(EmailAddress="old0@example.net", Reason="BOUNCE")
    region = next(iter(simulator.world.regions.values()))
    for number in range(1, 1200):
        address = f"old{number}@example.net"
        region.suppressed[address] = replace(region.suppressed["old0@example.net"], address=address)
    clients.ses.put_suppressed_destination(EmailAddress="Both@example.com", Reason="BOUNCE")
    clients.ses.put_suppressed_destination(EmailAddress="no@example.net", Reason="COMPLAINT")
    return AccountList(clients.ses, sleep=waits.append, clock=lambda: 0.0)


@pytest.fixture
def do(sessions: Sessions, session: Session, account: AccountList, now: datetime) -> Deed:
    """Does a deed with the list of this installation filled."""
    with writing(session):
        for address, reason in HERE.items():
            suppression.suppress(session, address, reason, "a test", None, now)
        pattern = parse_pattern("example.org")
        assert isinstance(pattern, Pattern)
        suppression.suppress_pattern(session, pattern, SuppressionReason.MANUAL, "a test", now)

    def _do(deed: str) -> dict[str, Any]:
        return account_list.do_here(sessions, deed, account, clock=lambda: now, by=None)

    return _do


def test_reading_compares_both_lists_and_changes_neither(
    do: Deed, session: Session, waits: list[float]
) -> None:
    found = do("read")
    assert found["there"] == 1202
    assert found["here"] == 5
    assert found["both"] == 1
    assert found["only_there"] == {"BOUNCE": 1200, "COMPLAINT": 1}
    assert found["only_here"] == {"bounced": 1, "complained": 1, "unsubscribed": 1}
    assert (found["would_pull"], found["would_push"]) == (1201, 2)
    assert len(session.scalars(select(Suppression)).all()) == 5
    assert waits == [0.0, 1.0]  # two pages, a second apart
    job = account_list.comparison(session)
    assert job is not None
    assert [row.address for row in account_list.first_rows(session, job, "here")] == [
        "ana@example.com", "bo@example.com",
    ]  # fmt: skip
    assert len(account_list.first_rows(session, job, "there")) == 20


def test_pulling_adds_what_only_the_account_has(do: Deed, session: Session) -> None:
    do("read")
    found = do("pull")
    assert found["pulled"] == 1201
    assert (found["would_pull"], found["both"]) == (0, 1202)
    session.rollback()
    complained = suppression.find(session, "no@example.net")
    bounced = suppression.find(session, "old7@example.net")
    assert complained is not None
    assert bounced is not None
    assert complained.reason is SuppressionReason.COMPLAINED
    assert bounced.reason is SuppressionReason.ACCOUNT_LIST
    assert bounced.source.startswith("On the list of the SES account as BOUNCE since ")


def test_pushing_tells_ses_of_bounces_and_complaints_alone(
    do: Deed, clients: AwsClients, waits: list[float]
) -> None:
    do("read")
    waits.clear()
    found = do("push")
    assert (found["pushed"], found["refused"], found["would_push"]) == (2, 0, 0)
    assert len(waits) == 2
    told = clients.ses.get_suppressed_destination(EmailAddress="bo@example.com")
    assert told["SuppressedDestination"]["Reason"] == "COMPLAINT"
    with pytest.raises(clients.ses.exceptions.NotFoundException):
        clients.ses.get_suppressed_destination(EmailAddress="cy@example.com")
    assert do("push")["pushed"] == 0


def test_an_address_that_left_the_account_is_forgotten_by_the_next_reading(
    do: Deed, session: Session, clients: AwsClients
) -> None:
    do("read")
    clients.ses.delete_suppressed_destination(EmailAddress="Both@example.com")
    assert do("read")["there"] == 1201
    session.rollback()
    kept = select(AccountSuppression.address).where(
        AccountSuppression.address == "both@example.com"
    )
    assert session.scalars(kept).all() == []


@pytest.mark.parametrize(
    ("deed", "operation"),
    [("read", "ListSuppressedDestinations"), ("push", "PutSuppressedDestination")],
)
def test_a_right_that_is_missing_is_named(
    deed: str, operation: str, do: Deed, session: Session, simulator: Any
) -> None:
    do("read")
    simulator.faults.deny = [operation]
    with pytest.raises(Refused, match=f"the right ses:{operation} "):
        do(deed)
    session.rollback()
    job = account_list.latest_job(session)
    assert job is not None
    assert job.status is JobStatus.FAILED
    assert "ses:" in (job.error or "")


def test_a_sandbox_account_says_so_in_the_words_of_ses(do: Deed, simulator: Any) -> None:
    do("read")
    simulator.faults.sandbox = True
    found = do("push")
    assert (found["pushed"], found["refused"]) == (0, 2)
    assert "sandbox" in found["refused_because"]


def test_being_told_to_slow_down_is_waited_out(
    do: Deed, account: AccountList, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    from botocore.exceptions import ClientError

    real, calls = account._ses.list_suppressed_destinations, []

    def sometimes(**asked: Any) -> Any:
        calls.append(asked)
        if len(calls) <= 2:
            said = {"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}
            raise ClientError(said, "ListSuppressedDestinations")  # type: ignore[arg-type]
        return real(**asked)

    monkeypatch.setattr(account._ses, "list_suppressed_destinations", sometimes)
    assert do("read")["there"] == 1202
    assert waits[:3] == [0.0, 3.0, 5.0]


def test_the_web_queues_the_same_work_and_only_one_at_a_time(
    do: Deed, sessions: Sessions, session: Session, settings: Any, now: datetime
) -> None:
    with pytest.raises(Refused, match="Read the list of the SES account first"), writing(session):
        account_list.enqueue(session, "pull", None, now)
    with writing(session):
        account_list.enqueue(session, "read", "owner@example.com", now)
    with pytest.raises(Refused, match="already"), writing(session):
        account_list.enqueue(session, "read", "owner@example.com", now)
    with writing(session):
        job = job_queue.claim_job(session, "w", now)
    assert job is not None
    assert job.kind is JobKind.ACCOUNT_LIST
    work = Dependencies(settings, lambda: pytest.fail("no mail"), lambda: datetime.now(UTC))
    assert run_job(sessions, job.id, "w", work) is JobStatus.DONE
    assert (session.get_one(Job, job.id, populate_existing=True).result or {})["there"] == 1202

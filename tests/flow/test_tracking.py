"""How much is tracked: the scheduler asks AWS, decides before the first mail, and keeps to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.statuses import CampaignStatus
from models import Campaign, Event
from sender.tracking_watch import TrackingWatch
from services import lifecycle, progress
from services.ledger import read_counters
from tests.flow.schedulers import assert_counters_true, counters, schedulers_of, wait_for
from tests.flow.webhook import webhook_of
from tests.ledger_rows import add_campaign


@pytest.fixture
def clients(settings: Settings) -> Iterator[AwsClients]:
    """What the scheduler reads AWS with."""
    with closing(AwsClients(settings)) as clients:
        yield clients


@pytest.fixture
def webhook_alone(environment: dict[str, str], simulator: Any) -> Iterator[dict[str, str]]:
    """An installation whose events come to its subscribed web server and nowhere else."""
    environment = {**environment, "SQS_QUEUE_URL": "none"}
    with webhook_of(environment, simulator):
        yield environment


def make(sessions: sessionmaker[Session], people: int, **columns: Any) -> int:
    undecided = {"tracking_in_force": None, "configuration_set": None}
    emails = [f"success+{n}@simulator.amazonses.com" for n in range(people)]
    with sessions() as session, writing(session):
        return add_campaign(session, emails, **(undecided | columns))


def campaign_of(sessions: sessionmaker[Session], campaign_id: int) -> Campaign:
    with sessions() as session:
        return session.get_one(Campaign, campaign_id)


@pytest.mark.parametrize(("people", "level"), [(101, "critical"), (100, "full")])
def test_with_the_webhook_alone_a_large_campaign_asks_for_no_deliveries(
    simulator: Any, sessions: sessionmaker[Session], webhook_alone: dict[str, str], tmp_path: Path,
    people: int, level: str, now: datetime,
) -> None:  # fmt: skip
    campaign_id = make(sessions, people)
    with schedulers_of({**webhook_alone, "MAX_EMAILS_PER_SECOND": "200"}, tmp_path) as started:
        assert started.start("--until-idle").wait() == 0
        outcome = "sent" if level == "critical" else "delivered"
        wait_for(lambda: counters(sessions, campaign_id)[outcome] == people)
        with sessions() as session:
            wait_for(lambda: _kinds(session, campaign_id).get("Send") == people)
            kinds = _kinds(session, campaign_id)
            doors = set(session.scalars(select(Event.door)))
    campaign = campaign_of(sessions, campaign_id)
    assert campaign.tracking_in_force == level
    assert campaign.configuration_set == ("bes-critical" if level == "critical" else "bes")
    assert campaign.delivery_published is (level == "full")
    assert ("webhook alone" in (campaign.tracking_reason or "")) is (level == "critical")
    assert set(kinds) == ({"Send"} if level == "critical" else {"Send", "Delivery"})
    assert doors == {"http"}
    assert campaign.status is CampaignStatus.SENT
    with sessions() as session:
        assert progress.is_over(campaign, read_counters(session, campaign_id), now)
    assert_counters_true(sessions, campaign_id)


def _kinds(session: Session, campaign_id: int) -> dict[str, int]:
    session.rollback()
    kinds = session.scalars(select(Event.kind).where(Event.campaign_id == campaign_id)).all()
    return {kind: kinds.count(kind) for kind in set(kinds)}


def test_nothing_is_claimed_before_the_level_is_decided(
    simulator: Any, sessions: sessionmaker[Session], settings: Settings
) -> None:
    undecided, decided = make(sessions, 1), make(sessions, 1, tracking_in_force="full")
    with sessions() as session:
        found = {c.id: c.tracking_decided for c in lifecycle.sending_campaigns(session)}
    assert found == {undecided: False, decided: True}


def test_the_level_is_decided_once(
    simulator: Any, sessions: sessionmaker[Session], settings: Settings, clients: AwsClients,
    now: datetime,
) -> None:  # fmt: skip
    campaign_id = make(sessions, 101)
    watch = TrackingWatch(settings, sessions, clients)
    watch.step(now)
    first = campaign_of(sessions, campaign_id)
    assert (first.tracking_in_force, first.configuration_set) == ("full", "bes")
    assert "queue" in (first.tracking_reason or "")
    clients.ses.delete_configuration_set(ConfigurationSetName="bes-critical")
    watch.step(now)
    assert campaign_of(sessions, campaign_id).tracking_reason == first.tracking_reason


def test_a_missing_critical_set_is_said_and_everything_is_tracked(
    simulator: Any, sessions: sessionmaker[Session], settings: Settings, clients: AwsClients,
    now: datetime,
) -> None:  # fmt: skip
    clients.ses.delete_configuration_set(ConfigurationSetName="bes-critical")
    campaign_id = make(sessions, 3, tracking="critical")
    TrackingWatch(settings, sessions, clients).step(now)
    campaign = campaign_of(sessions, campaign_id)
    assert (campaign.tracking_in_force, campaign.configuration_set) == ("full", "bes")
    assert "bes-critical does not exist" in (campaign.tracking_reason or "")


def test_aws_that_does_not_answer_holds_no_campaign_back(
    simulator: Any, sessions: sessionmaker[Session], settings: Settings, clients: AwsClients,
    now: datetime, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answered = threading.Event()
    watch = TrackingWatch(settings, sessions, clients, patience=0.05)
    read = watch._read
    monkeypatch.setattr(watch, "_read", lambda: answered.wait(30) and read())
    first = make(sessions, 101)
    watch.step(now)
    assert campaign_of(sessions, first).tracking_in_force == "full"
    answered.set()
    second = make(sessions, 101, tracking="critical")
    wait_for(lambda: watch._way is not None)
    watch.step(now)
    assert campaign_of(sessions, second).tracking_in_force == "critical"


def test_a_simulator_that_is_gone_leaves_the_full_level(
    simulator: Any, sessions: sessionmaker[Session], settings: Settings, clients: AwsClients,
    now: datetime,
) -> None:  # fmt: skip
    simulator.stop()
    campaign_id = make(sessions, 3, tracking="critical")
    TrackingWatch(settings, sessions, clients).step(now)
    campaign = campaign_of(sessions, campaign_id)
    assert campaign.tracking_in_force == "full"
    assert "could not be read from AWS" in (campaign.tracking_reason or "")

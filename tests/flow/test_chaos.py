"""Random crashes, freezes, cut connections and every fault of SES at once: nobody is lost, and
nobody gets a mail twice.

The short runs belong to the suite; `make chaos` runs the long ones.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, Recipient
from tests.flow.schedulers import (
    SchedulerProcess,
    Schedulers,
    assert_counters_true,
    counters,
    schedulers_of,
    wait_for,
)
from tests.ledger_rows import add_campaign

LEASE = "20"
GRACE = "6"


def everything_goes_wrong(simulator: Any) -> None:
    """Every way in which SES and its events misbehave, each on some of the calls."""
    faults = simulator.faults
    faults.latency_ms = 60.0
    faults.server_error.share = 0.004
    faults.server_error_after.share = 0.004
    faults.drop_before.share = 0.004
    faults.drop_after.share = 0.004
    faults.timeout_after.share = 0.0005
    faults.garbled_after.share = 0.002
    faults.throttle.share = 0.004
    faults.duplicate_events = 0.05
    faults.delay_events = 0.3
    faults.reorder_events = 1.0


@dataclass
class Chaos:
    """Kills, freezes and cuts the schedulers of one campaign; counts what it did."""

    schedulers: Schedulers
    simulator: Any
    engine: Engine
    dice: random.Random
    at_once: int
    kills: int = 0
    with_calls_in_flight: int = 0
    running: list[SchedulerProcess] = field(default_factory=list)

    def strike(self) -> None:
        """One kill within two seconds of a process's first call; the others go on."""
        while len(self.running) < self.at_once:
            self.running.append(self.schedulers.start())
        victim = self.dice.choice(self.running)
        calls = self.simulator.outbox.total
        wait_for(lambda: self.simulator.outbox.total > calls, 30)
        time.sleep(self.dice.uniform(0.0, 1.0))
        if self.dice.random() < 0.2:
            self._cut_connections()
        victim.kill()
        self.kills += 1
        self.with_calls_in_flight += self._left_calls_behind()
        self.running.remove(victim)

    def freeze_one(self, seconds: float) -> None:
        """One worker stands still for longer than its lease, and then goes on."""
        victim = self.schedulers.start()
        self.running.append(victim)
        calls = self.simulator.outbox.total
        wait_for(lambda: self.simulator.outbox.total > calls + 50, 30)
        victim.freeze(self.engine)
        time.sleep(seconds)
        victim.thaw()

    def _left_calls_behind(self) -> bool:
        """Whether rows are marked as handed to SES whose answers nobody waits for any more."""
        marked = select(func.count()).where(
            Recipient.status == RecipientStatus.SENDING, Recipient.submitted_at.is_not(None)
        )
        with self.engine.connect() as connection:
            return bool(connection.scalar(marked))

    def _cut_connections(self) -> None:
        if self.engine.dialect.name == "sqlite":
            return
        cut = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with self.engine.connect() as connection:
            connection.execute(cut)


@pytest.fixture
def chaos(
    simulator: Any,
    environment: dict[str, str],
    engine: Engine,
    tmp_path: Path,
) -> Iterator[Chaos]:
    """Ready to strike: one scheduler at a time on SQLite, three on PostgreSQL."""
    at_once = 1 if engine.dialect.name == "sqlite" else 3
    settings = {
        **environment,
        # Those that are not struck go on: slow enough that mails are left for every strike.
        "MAX_EMAILS_PER_SECOND": "250" if at_once == 1 else "100",
        "CLAIM_LEASE_SECONDS": LEASE,
        "IN_DOUBT_POLICY": "retry-unsent",
        "IN_DOUBT_GRACE_SECONDS": GRACE,
        "PAUSE_AT_BOUNCE_PERCENT": "0",
    }
    seed = int(os.environ.get("CHAOS_SEED", "1"))
    with schedulers_of(settings, tmp_path) as schedulers:
        yield Chaos(schedulers, simulator, engine, random.Random(seed), at_once)


def run_campaign(chaos: Chaos, sessions: sessionmaker[Session], mails: int, kills: int) -> int:
    """Strike as often as wanted while the campaign runs, then let it end in peace."""
    emails = [f"success+{n}@simulator.amazonses.com" for n in range(mails)]
    with sessions() as session, writing(session):
        campaign_id = add_campaign(session, emails)
    everything_goes_wrong(chaos.simulator)
    for number in range(kills):
        if counters(sessions, campaign_id)["pending"] < 100:
            break
        if number == kills - 2:
            chaos.freeze_one(float(LEASE) + 5)
        chaos.strike()
    chaos.simulator.faults.clear()
    chaos.schedulers.start()
    wait_for(lambda: _is_sent(sessions, campaign_id), 150, 0.5)
    return campaign_id


def _is_sent(sessions: sessionmaker[Session], campaign_id: int) -> bool:
    with sessions() as session:
        if session.get_one(Campaign, campaign_id).status is not CampaignStatus.SENT:
            return False
    figures = counters(sessions, campaign_id)
    return figures["delivered"] == figures["total"]


def assert_everybody_got_it_once(
    chaos: Chaos, sessions: sessionmaker[Session], campaign_id: int, mails: int
) -> None:
    counts = {
        address: count
        for address, count in chaos.simulator.outbox.counts.items()
        if address != "success@simulator.amazonses.com"  # probes
    }
    twice = {address: count for address, count in counts.items() if count > 1}
    assert not twice
    assert len(counts) == mails
    with sessions() as session:
        states = set(session.scalars(select(Recipient.status).distinct()))
    assert states == {RecipientStatus.DELIVERED}
    assert_counters_true(sessions, campaign_id)


@pytest.mark.slow
def test_after_all_faults_and_kills_everybody_has_the_mail_exactly_once(
    chaos: Chaos, sessions: sessionmaker[Session]
) -> None:
    campaign_id = run_campaign(chaos, sessions, mails=4000, kills=12)
    assert_everybody_got_it_once(chaos, sessions, campaign_id, 4000)
    assert chaos.kills >= 10
    assert chaos.with_calls_in_flight >= chaos.kills / 3


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_ten_thousand_mails_survive_thirty_kills(
    chaos: Chaos, sessions: sessionmaker[Session]
) -> None:
    campaign_id = run_campaign(chaos, sessions, mails=10_000, kills=40)
    assert_everybody_got_it_once(chaos, sessions, campaign_id, 10_000)
    assert chaos.kills >= 30
    assert chaos.with_calls_in_flight >= chaos.kills / 3

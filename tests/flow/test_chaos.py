"""Random crashes, freezes, cut connections and every fault of SES at once: nobody is lost, and
nobody gets a mail twice.

The short runs belong to the suite; `make chaos` runs the long ones.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign
from tests.flow.chaos import STRIKE_WITHIN_SECONDS, Chaos, everything_goes_wrong, states
from tests.flow.schedulers import assert_counters_true, counters, schedulers_of

LEASE = "20"
GRACE = "6"
#: A campaign whose figures do not move for so long stands still (seconds): lease, grace, a probe.
STANDSTILL = 150


@dataclass(frozen=True)
class Way:
    """How a campaign is sent while it is struck."""

    database: str
    at_once: int
    api: str = "single"

    def __str__(self) -> str:
        return f"{self.database}-{self.at_once}-{self.api}"


SHORT = [Way("sqlite", 1), Way("postgresql", 3)]
LONG = [
    Way("sqlite", 1),
    Way("sqlite", 2),
    Way("postgresql", 3),
    Way("sqlite", 1, "bulk"),
    Way("postgresql", 3, "bulk"),
]


@pytest.fixture
def way(request: pytest.FixtureRequest) -> Way:
    """The way that a test is parametrised with."""
    found: Way = request.param
    return found


@pytest.fixture
def database_url(request: pytest.FixtureRequest, way: Way) -> str:
    """A fresh database of the kind that the way names."""
    kind = "sqlite_url" if way.database == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(kind))


@pytest.fixture
def chaos(
    way: Way,
    simulator: Any,
    environment: dict[str, str],
    engine: Engine,
    sessions: sessionmaker[Session],
    tmp_path: Path,
) -> Iterator[Chaos]:
    """Ready to strike."""
    # Those that are not struck go on: slow enough that mails are left for every strike.
    rate = 120 if way.at_once == 1 else 60
    settings = {
        **environment,
        "MAX_EMAILS_PER_SECOND": str(rate if way.api == "single" else rate // 2),
        "SES_SEND_API": way.api,
        "SES_BULK_CALLS_PER_SECOND": "10",
        "CLAIM_LEASE_SECONDS": LEASE,
        "IN_DOUBT_POLICY": "retry-unsent",
        "IN_DOUBT_GRACE_SECONDS": GRACE,
        "PAUSE_AT_BOUNCE_PERCENT": "0",
    }
    dice = random.Random(int(os.environ.get("CHAOS_SEED", "1")))
    with schedulers_of(settings, tmp_path) as schedulers:
        yield Chaos(schedulers, simulator, sessions, engine, dice, way.at_once)


def run_campaign(chaos: Chaos, mails: int, kills: int) -> int:
    """Strike as often as wanted while the campaign runs, then let it end in peace."""
    campaign_id = chaos.launch(mails)
    everything_goes_wrong(chaos.simulator)
    for number in range(kills):
        if counters(chaos.sessions, campaign_id)["pending"] < 100:
            break
        if number % 12 == 1:
            chaos.freeze_one(float(LEASE) + 5)
        chaos.strike()
    chaos.thaw(wait=True)
    chaos.simulator.faults.clear()
    chaos.schedulers.start()
    _wait_until_sent(chaos, campaign_id)
    return campaign_id


def _wait_until_sent(chaos: Chaos, campaign_id: int) -> None:
    """As long as anything moves; how many mails are left depends on how slow the machine was."""
    before, moved = counters(chaos.sessions, campaign_id), time.monotonic()
    while not _is_sent(chaos.sessions, campaign_id):
        figures = counters(chaos.sessions, campaign_id)
        if figures != before:
            before, moved = figures, time.monotonic()
        standing = time.monotonic() - moved
        assert standing < STANDSTILL, _what_stands(chaos.sessions, campaign_id)
        time.sleep(0.5)


def _what_stands(sessions: sessionmaker[Session], campaign_id: int) -> dict[str, Any]:
    with sessions() as session:
        campaign = session.get_one(Campaign, campaign_id)
        shown = {"status": campaign.status, "reason": campaign.reason}
    return shown | {
        name: figure for name, figure in counters(sessions, campaign_id).items() if figure
    }


def _is_sent(sessions: sessionmaker[Session], campaign_id: int) -> bool:
    with sessions() as session:
        if session.get_one(Campaign, campaign_id).status is not CampaignStatus.SENT:
            return False
    figures = counters(sessions, campaign_id)
    return figures["delivered"] == figures["total"]


def assert_everybody_got_it_once(chaos: Chaos, campaign_id: int, mails: int) -> None:
    counts = chaos.copies()
    assert {address: count for address, count in counts.items() if count > 1} == {}
    assert len(counts) == mails
    assert states(chaos.sessions, campaign_id) == {RecipientStatus.DELIVERED: mails}
    assert_counters_true(chaos.sessions, campaign_id)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", SHORT, indirect=True, ids=str)
def test_after_all_faults_and_kills_everybody_has_the_mail_exactly_once(chaos: Chaos) -> None:
    campaign_id = run_campaign(chaos, mails=1500, kills=4)
    assert_everybody_got_it_once(chaos, campaign_id, 1500)
    assert chaos.thawed
    assert (
        len(chaos.kill_delays) >= 3
    )  # on a slow machine the others may be through before the fourth
    assert chaos.with_calls_in_flight >= len(chaos.kill_delays) / 3


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", LONG, indirect=True, ids=str)
def test_ten_thousand_mails_survive_thirty_kills(chaos: Chaos) -> None:
    campaign_id = run_campaign(chaos, mails=10_000, kills=36)
    assert_everybody_got_it_once(chaos, campaign_id, 10_000)
    in_time = [delay for delay in chaos.kill_delays if delay <= STRIKE_WITHIN_SECONDS]
    assert len(in_time) >= 30, chaos.kill_delays
    assert len(chaos.thawed) == 3
    assert chaos.with_calls_in_flight >= len(chaos.kill_delays) / 3

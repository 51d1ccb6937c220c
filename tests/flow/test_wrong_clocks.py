"""Hosts whose clocks are wrong or jump: leases and the rate hold by the database's time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from tests.flow.schedulers import (
    Schedulers,
    assert_counters_true,
    counters,
    most_in_any,
    schedulers_of,
    wait_for,
)
from tests.ledger_rows import add_campaign

HOUR = 3600.0
PROGRAM = Path(__file__).with_name("shifted_scheduler.py")


@pytest.fixture
def schedulers(environment: dict[str, str], tmp_path: Path) -> Iterator[Schedulers]:
    """Schedulers of the installation under test."""
    with schedulers_of({**environment, "MAX_EMAILS_PER_SECOND": "40"}, tmp_path) as schedulers:
        yield schedulers


def set_clock(tmp_path: Path, seconds: float) -> str:
    """How wrong the clock is from now on; the file that says so."""
    path = tmp_path / "offset"
    path.with_suffix(".new").write_text(str(seconds))
    path.with_suffix(".new").replace(path)
    return str(path)


def _has_received(simulator: Any, total: int) -> bool:
    return bool(simulator.outbox.total >= total)


def test_rate_and_leases_hold_while_the_clock_of_a_host_jumps_by_an_hour(
    simulator: Any,
    engine: Engine,
    sessions: sessionmaker[Session],
    schedulers: Schedulers,
    tmp_path: Path,
) -> None:
    with sessions() as session, writing(session):
        emails = [f"success+{n}@simulator.amazonses.com" for n in range(400)]
        campaign_id = add_campaign(session, emails)
    offset = set_clock(tmp_path, HOUR)
    pair = [schedulers.start(program=PROGRAM, CLOCK_OFFSET_FILE=offset)]
    if engine.dialect.name == "sqlite":  # one host, one clock
        pair.append(schedulers.start(program=PROGRAM, CLOCK_OFFSET_FILE=offset))
    else:
        pair.append(schedulers.start())
    for total, wrong in ((80, -HOUR), (160, 0.0), (240, HOUR)):
        wait_for(partial(_has_received, simulator, total))
        set_clock(tmp_path, wrong)

    def settled() -> bool:
        now = counters(sessions, campaign_id)
        return now["pending"] == now["sending"] == now["in_doubt"] == 0

    wait_for(settled)
    assert set(simulator.outbox.counts.values()) == {1}
    assert simulator.outbox.total == 400
    # Two that do not share the rate would send 80 a second.
    assert most_in_any(list(simulator.outbox.times), 4.0) <= 240
    assert [scheduler.terminate() for scheduler in pair] == [0, 0]
    assert_counters_true(sessions, campaign_id)

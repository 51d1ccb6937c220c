"""Strikes at running schedulers: kills, freezes, cut connections, and every fault of SES."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import RecipientStatus
from models import Recipient, Worker
from services import campaigns
from tests.flow.schedulers import SchedulerProcess, Schedulers, counters, wait_for
from tests.ledger_rows import add_campaign

#: Where the product sends its probes: no recipient of any campaign.
PROBES = "success@simulator.amazonses.com"
_FIRST_CALL_SECONDS = 180.0
#: How long the newest waits for its turn beside others.
_TURN_SECONDS = 3.0
_START_SECONDS = 180.0
#: A strike comes at most so long after the first call of the process that it hits (seconds).
STRIKE_WITHIN_SECONDS = 2.0


def everything_goes_wrong(simulator: Any) -> None:
    """Every way in which SES and its events misbehave, each on some of the calls."""
    faults = simulator.faults
    faults.latency_ms = 60.0
    for rule in (
        faults.server_error,
        faults.server_error_after,
        faults.drop_before,
        faults.drop_after,
        faults.throttle,
        faults.entry_error,
    ):
        rule.share = 0.004
    faults.garbled_after.share = 0.002
    faults.timeout_after.share = 0.0005
    faults.timeout_before.share = 0.0005
    faults.duplicate_events = 0.05
    faults.delay_events = 0.3
    faults.reorder_events = 1.0


@dataclass
class Chaos:
    """Kills, freezes and cuts the schedulers of one campaign; counts what it did."""

    schedulers: Schedulers
    simulator: Any
    sessions: sessionmaker[Session]
    engine: Engine
    dice: random.Random
    at_once: int
    campaign_id: int = 0
    rough: bool = True  # kills come with cut connections now and then
    kill_delays: list[float] = field(default_factory=list)  # seconds after the first call
    with_calls_in_flight: int = 0
    running: list[SchedulerProcess] = field(default_factory=list)
    frozen: list[tuple[float, SchedulerProcess]] = field(default_factory=list)
    thawed: list[SchedulerProcess] = field(default_factory=list)

    def launch(self, mails: int) -> int:
        """A campaign to so many people who all get their mail."""
        emails = [f"success+{n}@simulator.amazonses.com" for n in range(mails)]
        with self.sessions() as session, writing(session):
            self.campaign_id = add_campaign(session, emails)
        return self.campaign_id

    def strike(self) -> None:
        """Kill the newest process within two seconds of its first call; the others go on."""
        self.running += self._start(self.at_once - len(self.running))
        victim = self.running[-1]
        self._until_it_calls(victim)
        first_call = time.monotonic()
        time.sleep(self.dice.uniform(0.0, 1.2))
        if self.rough and self.dice.random() < 0.2:
            self._cut_connections()
        if self.rough and self.dice.random() < 0.1:
            self._unplug(0.3)
        # Every other one is met while SES has mails of it, if that is so within its time.
        until = first_call + 0.9 * STRIKE_WITHIN_SECONDS
        while len(self.kill_delays) % 2 == 0 and time.monotonic() < until:
            if self._left_calls_behind(victim):
                break
            time.sleep(0.02)
        self.kill_delays.append(time.monotonic() - first_call)
        victim.kill()
        self.with_calls_in_flight += self._left_calls_behind(victim)
        self.running.remove(victim)
        self.dice.shuffle(self.running)

    def _until_it_calls(self, newcomer: SchedulerProcess) -> None:
        """Whoever has calls under way draws slots first, so that one process may serve a low rate
        alone: where a newcomer gets nothing to do, the others stop as a service would."""
        try:
            wait_for(lambda: self._called(newcomer), _TURN_SECONDS)
        except AssertionError:
            others = [one for one in [*self.running, *self.thawed] if one is not newcomer]
            for process in others:
                process.terminate()
            self.running = [one for one in self.running if one is newcomer]
            wait_for(lambda: self._called(newcomer), _FIRST_CALL_SECONDS)

    def freeze_one(self, seconds: float) -> None:
        """One worker stands still for so long, longer than its lease, while others go on."""
        [victim] = self._start(1)
        self._until_it_calls(victim)
        victim.freeze(self.engine)
        self.frozen.append((time.monotonic() + seconds, victim))

    def thaw(self, *, wait: bool = False) -> None:
        """Let those go on whose time has come (or will have)."""
        for thaw_at, victim in list(self.frozen):
            left = thaw_at - time.monotonic()
            if left <= 0 or wait:
                time.sleep(max(0.0, left))
                victim.thaw()
                self.frozen.remove((thaw_at, victim))
                self.thawed.append(victim)

    def copies(self) -> Counter[str]:
        """How many mails SES has taken for each address, probes aside."""
        counts: Counter[str] = self.simulator.call(lambda: self.simulator.outbox.counts.copy())
        del counts[PROBES]
        return counts

    def taken_attempts(self) -> set[str]:
        """The attempts whose mails SES has taken."""
        outbox = self.simulator.outbox
        return set(self.simulator.call(lambda: [m.tags.get("bes_attempt") for m in outbox.mails]))

    def _start(self, number: int) -> list[SchedulerProcess]:
        """New processes, all of them up; on a slow machine the others would be through by then."""
        with self._rest():
            started = [self.schedulers.start() for _ in range(number)]
            for process in started:
                wait_for(partial(self._beats, process), _START_SECONDS)
        return started

    @contextmanager
    def _rest(self) -> Iterator[None]:
        """The campaign is paused for the block when somebody sends it."""
        if not self.running and not self.thawed:
            yield
            return
        with self.sessions() as session, writing(session):
            campaigns.pause(session, self.campaign_id, datetime.now(UTC), by=None)
        yield
        with self.sessions() as session, writing(session):
            campaigns.resume(session, self.campaign_id, datetime.now(UTC))

    def _beats(self, process: SchedulerProcess) -> bool:
        self.thaw()
        with self.sessions() as session:
            mine = select(Worker.id).where(Worker.id.contains(f":{process.process.pid}:"))
            return session.scalar(mine) is not None

    def _called(self, victim: SchedulerProcess) -> bool:
        self.thaw()
        with self.sessions() as session:
            return bool(session.scalar(select(_of(victim).exists())))

    def _left_calls_behind(self, victim: SchedulerProcess) -> bool:
        """Whether SES has mails of it whose answers nobody will write down."""
        rows = _of(victim).where(Recipient.status == RecipientStatus.SENDING)
        with self.sessions() as session:
            unwritten = set(session.scalars(rows.with_only_columns(Recipient.attempt_id)))
        return bool(unwritten & self.taken_attempts())

    def _cut_connections(self) -> None:
        if self.engine.dialect.name == "sqlite":
            return
        cut = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with self.engine.connect() as connection:
            connection.execute(cut)

    def _unplug(self, seconds: float) -> None:
        self.simulator.faults.unreachable = True
        time.sleep(seconds)
        self.simulator.faults.unreachable = False


def _of(process: SchedulerProcess) -> Any:
    """The rows that this process has marked as handed to SES."""
    return select(Recipient.id).where(
        Recipient.worker.contains(f":{process.process.pid}:"), Recipient.submitted_at.is_not(None)
    )


def settled(sessions: sessionmaker[Session], campaign_id: int) -> bool:
    """Whether nobody waits and nothing is under way; mails may be in doubt."""
    figures = counters(sessions, campaign_id)
    return figures["pending"] == figures["sending"] == 0


def states(sessions: sessionmaker[Session], campaign_id: int) -> dict[str, int]:
    """How many recipients are in each state, counted in the ledger."""
    query = (
        select(Recipient.status, func.count())
        .where(Recipient.campaign_id == campaign_id)
        .group_by(Recipient.status)
    )
    with sessions() as session:
        return {str(status): number for status, number in session.execute(query)}

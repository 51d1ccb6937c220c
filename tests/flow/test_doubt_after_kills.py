"""Who is in doubt after kills and lost answers: exactly those of whom no event has told, few of
them, and none is ever sent to twice by the product itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import RecipientStatus
from models import PastAttempt, Recipient
from services import campaigns
from ses_simulator.events import Event
from tests.flow.chaos import Chaos, settled
from tests.flow.schedulers import assert_counters_true, counters, schedulers_of, wait_for
from tests.flow.webhook import webhook_of

MAILS = 600
KILLS = 2
#: Long enough for three looks at the queue over the whole of it.
GRACE = 3


@dataclass
class Told:
    """What the simulator really published: the attempts that some event has named."""

    attempts: set[str] = field(default_factory=set)


@pytest.fixture
def told(simulator: Any, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Listens to everything that is published."""
    told = Told()
    publish = simulator.publisher.publish

    def listen(topic: Any, publication: Any) -> None:
        if isinstance(publication.content, Event):
            told.attempts.add(publication.content.mail.tags.get("bes_attempt", "a probe"))
        publish(topic, publication)

    monkeypatch.setattr(simulator.publisher, "publish", listen)
    return told


@pytest.fixture
def no_queue() -> None:
    """For tests of an installation that polls none."""


@pytest.fixture
def installation(
    request: pytest.FixtureRequest, environment: dict[str, str], policy: str
) -> dict[str, str]:
    """The settings of the schedulers."""
    alone = {"SQS_QUEUE_URL": "none"} if "no_queue" in request.fixturenames else {}
    return (
        environment
        | alone
        | {
            "IN_DOUBT_POLICY": policy,
            "MAX_EMAILS_PER_SECOND": "100",
            "CLAIM_LEASE_SECONDS": "20",
            "IN_DOUBT_GRACE_SECONDS": str(GRACE),
            "PAUSE_AT_BOUNCE_PERCENT": "0",
        }
    )


@pytest.fixture
def chaos(
    simulator: Any,
    installation: dict[str, str],
    engine: Engine,
    sessions: sessionmaker[Session],
    tmp_path: Path,
) -> Iterator[Chaos]:
    """Ready to strike, one process at a time on SQLite and two on PostgreSQL."""
    at_once = 1 if engine.dialect.name == "sqlite" else 2
    with schedulers_of(installation, tmp_path) as schedulers:
        yield Chaos(schedulers, simulator, sessions, engine, random.Random(2), at_once)


def lose_answers(simulator: Any) -> None:
    """Some calls break before SES has the mail, as many after; nobody can tell which."""
    faults = simulator.faults
    faults.latency_ms = 60.0
    faults.drop_before.share = faults.drop_after.share = 0.02
    faults.server_error.share = faults.server_error_after.share = 0.02


def run_campaign(chaos: Chaos, mails: int = MAILS, kills: int = KILLS) -> int:
    """Send with lost answers and kills until everybody's fate is known or in doubt."""
    campaign_id = chaos.launch(mails)
    lose_answers(chaos.simulator)
    for _ in range(kills):
        chaos.strike()
    chaos.simulator.faults.drop_before.share = chaos.simulator.faults.server_error.share = 0.0
    chaos.simulator.faults.drop_after.share = chaos.simulator.faults.server_error_after.share = 0.0
    chaos.running.append(chaos.schedulers.start())
    wait_for(lambda: settled(chaos.sessions, campaign_id), pause=0.2)
    return campaign_id


def attempts_of(
    sessions: sessionmaker[Session], *statuses: RecipientStatus
) -> dict[str, Recipient]:
    with sessions() as session:
        rows = session.scalars(select(Recipient).where(Recipient.status.in_(statuses)))
        return {str(row.attempt_id): row for row in rows}


def assert_nobody_was_sent_to_twice(chaos: Chaos, campaign_id: int) -> None:
    assert {to: count for to, count in chaos.copies().items() if count > 1} == {}
    with chaos.sessions() as session:
        anew = session.scalar(select(func.count()).select_from(PastAttempt))
    assert anew == 0
    assert_counters_true(chaos.sessions, campaign_id)


def assert_silence_never_counts(chaos: Chaos, told: Told, lacking: str) -> None:
    """Whatever time passes: those of whom nothing was told stay in doubt, for this reason."""
    campaign_id = run_campaign(chaos)
    # What was told of the others may still be on its way on a busy machine.
    wait_for(lambda: not doubtful(chaos).keys() & told.attempts, pause=0.2)
    wait_for(lambda: _grace_is_over(chaos), pause=0.2)
    time.sleep(2 * GRACE)
    assert_nobody_was_sent_to_twice(chaos, campaign_id)
    silent = doubtful(chaos)
    assert silent
    assert not silent.keys() & told.attempts
    for row in silent.values():
        assert row.presumed_unsent_at is None
        assert row.doubt_evidence is not None
        assert not row.doubt_evidence["conditions"][lacking]["met"]
        assert row.doubt_evidence["conditions"]["grace_over"]["met"]


def _grace_is_over(chaos: Chaos) -> bool:
    """Whether every row in doubt was looked at after the time in which silence may count."""
    evidence = [row.doubt_evidence for row in doubtful(chaos).values()]
    return all(one and one["conditions"]["grace_over"]["met"] for one in evidence)


def doubtful(chaos: Chaos) -> dict[str, Recipient]:
    return attempts_of(chaos.sessions, RecipientStatus.IN_DOUBT)


def assert_hold_keeps_the_untold(chaos: Chaos, told: Told, campaign_id: int) -> None:
    """No event is lost here: in doubt is who is not in the outbox, and stays so."""
    never_taken = attempts_of(chaos.sessions, *RecipientStatus).keys() - chaos.taken_attempts()
    wait_for(lambda: doubtful(chaos).keys() == never_taken, pause=0.2)
    assert never_taken  # some calls broke before SES had the mail
    assert not never_taken & told.attempts
    wait_for(lambda: all(row.presumed_unsent_at for row in doubtful(chaos).values()), pause=0.5)
    time.sleep(GRACE)
    assert doubtful(chaos).keys() == never_taken
    assert_nobody_was_sent_to_twice(chaos, campaign_id)


HOLD = pytest.mark.parametrize("policy", ["hold"])
#: The product would send again if silence counted.
RETRY = pytest.mark.parametrize("policy", ["retry-unsent"])
POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.slow
@HOLD
@POSTGRESQL
def test_under_hold_those_in_doubt_are_exactly_those_of_whom_no_event_has_told(
    chaos: Chaos, told: Told
) -> None:
    assert_hold_keeps_the_untold(chaos, told, run_campaign(chaos))


@pytest.mark.chaos
@pytest.mark.timeout(900)
@HOLD
def test_under_hold_it_is_so_for_many_mails_and_kills(chaos: Chaos, told: Told) -> None:
    assert_hold_keeps_the_untold(chaos, told, run_campaign(chaos, 3000, 12))


@pytest.mark.slow
@RETRY
@SQLITE
def test_when_events_are_lost_silence_never_counts(
    simulator: Any, chaos: Chaos, told: Told
) -> None:
    simulator.faults.lose_events = 0.3
    assert_silence_never_counts(chaos, told, "neighbours")


@pytest.mark.slow
@RETRY
@POSTGRESQL
@pytest.mark.usefixtures("no_queue")
def test_with_the_webhook_alone_silence_never_counts(
    simulator: Any, installation: dict[str, str], chaos: Chaos, told: Told
) -> None:
    with webhook_of(installation, simulator):
        assert_silence_never_counts(chaos, told, "send_published")


@pytest.mark.slow
@RETRY
@SQLITE
def test_when_send_is_not_published_silence_never_counts(
    simulator: Any, chaos: Chaos, told: Told
) -> None:
    simulator.faults.without_send = True
    assert_silence_never_counts(chaos, told, "send_published")


@pytest.mark.slow
@HOLD
@SQLITE
def test_a_crash_puts_in_doubt_no_more_than_the_calls_in_flight_and_the_newest_results(
    simulator: Any, chaos: Chaos, told: Told
) -> None:
    rate, seconds_of_a_call = 100, 0.3
    simulator.faults.latency_ms = seconds_of_a_call * 1000
    simulator.faults.lose_events = 1.0  # nobody is settled meanwhile
    chaos.rough = False
    campaign_id = chaos.launch(400)
    chaos.strike()
    with chaos.sessions() as session, writing(session):
        campaigns.pause(session, campaign_id, datetime.now(UTC), by="owner@example.com")
    claimed = attempts_of(chaos.sessions, RecipientStatus.SENDING)
    marked = {attempt for attempt, row in claimed.items() if row.submitted_at}
    waiting = counters(chaos.sessions, campaign_id)["pending"] + len(claimed) - len(marked)
    # Results not written yet, and marks of the slots that come next, are 200 ms of work each.
    assert len(marked) <= rate * (seconds_of_a_call + 0.2 + 0.2)
    assert marked & chaos.taken_attempts()
    chaos.schedulers.start()
    wait_for(lambda: counters(chaos.sessions, campaign_id)["sending"] == 0, pause=0.2)
    assert doubtful(chaos).keys() == marked
    assert counters(chaos.sessions, campaign_id)["pending"] == waiting
    assert_nobody_was_sent_to_twice(chaos, campaign_id)

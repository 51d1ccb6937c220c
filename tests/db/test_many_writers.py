"""Eight writers at once on the same rows: none of them deadlocks, and the counters stay true."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from database import writing
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import Fact
from models import Recipient
from services import claims, ledger, sending
from services.claims import ClaimedRow
from services.ledger import FactChange
from services.recount import recount
from services.sending import Report
from tests.ledger_rows import add_campaign

_WRITERS = 8
_ROUNDS = 25
_NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_FACTS = (Fact.ACCEPTED, Fact.DELIVERED, Fact.DELAYED, Fact.SOFT_BOUNCED, Fact.COMPLAINED)
_ANSWERS = (
    SendResult(Outcome.ACCEPTED, message_id="m-1"),
    SendResult(Outcome.REFUSED, code="refused", reason="No."),
    SendResult(Outcome.UNKNOWN, code="timeout", reason="No answer."),
    SendResult(Outcome.THROTTLED, code="throttled", reason="Later."),
)
Step = Callable[[Session, random.Random], None]


@pytest.fixture
def two(sessions: sessionmaker[Session]) -> list[int]:
    """Two campaigns whose rows everybody changes."""
    with sessions() as session, writing(session):
        rate_limiter.ensure_bucket(session, rate_limiter.SEND, 100_000.0)
        return [add_campaign(session, 40), add_campaign(session, 40)]


def run(sessions: sessionmaker[Session], steps: list[Step]) -> None:
    """Eight threads, each with many short transactions of one of these steps after another."""
    barrier = Barrier(_WRITERS)

    def work(number: int) -> None:
        dice = random.Random(number)
        barrier.wait(30)
        for turn in range(_ROUNDS):
            with sessions() as session, writing(session):
                steps[(number + turn) % len(steps)](session, dice)

    with ThreadPoolExecutor(_WRITERS) as pool:
        for done in [pool.submit(work, number) for number in range(_WRITERS)]:
            done.result(120)  # a deadlock would be an error of the database here


def ids(session: Session) -> list[tuple[int, str | None]]:
    rows = session.execute(select(Recipient.id, Recipient.attempt_id).order_by(Recipient.id)).all()
    return [(row.id, row.attempt_id) for row in rows]


def tell_facts(session: Session, dice: random.Random) -> None:
    """Half of all rows, in an order of one's own, as a batch of events has them."""
    chosen = dice.sample(ids(session), 40)
    at = _NOW + timedelta(seconds=dice.randrange(1000))
    changes = [FactChange(row_id, None, dice.choice(_FACTS), at) for row_id, _ in chosen]
    ledger.apply_changes(session, changes, _NOW)
    rate_limiter.report_calls(session, len(changes), 0)


def give_back(session: Session, dice: random.Random) -> None:
    """Some rows are pending again."""
    chosen = dice.sample(ids(session), 30)
    ledger.return_to_pending(session, chosen, "A test.", _NOW, was_submitted=False)


def answers(session: Session, dice: random.Random) -> None:
    """What SES said of some mails, of all kinds at once, as one flush of a sender has it."""
    rows = session.execute(select(Recipient).where(Recipient.attempt_id.is_not(None))).scalars()
    taken = [row_of(row) for row in rows if dice.random() < 0.5]
    dice.shuffle(taken)
    reports = [Report(row, dice.choice(_ANSWERS), _NOW) for row in taken]
    sending.record_results(session, reports, _NOW)


def row_of(row: Recipient) -> ClaimedRow:
    attempt = row.attempt_id or ""
    return ClaimedRow(row.id, row.campaign_id, "", row.address_hash, "{}", attempt, 0.0)


def claim_of(two: list[int]) -> Step:
    """Rows of both campaigns, in either order, with slots drawn last."""

    def claim(session: Session, dice: random.Random) -> None:
        found = {
            campaign_id: claims.claim(
                session, campaign_id=campaign_id, limit=10, worker="w", lease_seconds=60
            )
            for campaign_id in dice.sample(two, 2)
        }
        claims.count_claims(session, found)
        claims.mark_submitted(session, [row for one in found.values() for row in one.rows])
        rate_limiter.draw(session, sum(len(one.rows) for one in found.values()) or 1)

    return claim


def test_eight_writers_on_the_same_rows_do_not_deadlock(
    sessions: sessionmaker[Session], two: list[int]
) -> None:
    run(sessions, [tell_facts, claim_of(two), answers, give_back])
    with sessions() as session:
        for campaign_id in two:
            assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)
            assert ledger.read_counters(session, campaign_id)["reached_accepted"] > 0

"""The claim, the mark before the call and the sweep, on both databases."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session, sessionmaker

from database import make_engine, make_sessions, writing
from domain.statuses import RecipientStatus, Verdict
from models import Recipient
from services import acceptances, claims, ledger
from services.acceptances import Acceptance
from services.recount import recount
from tests.ledger_rows import add_campaign, suppress


def take(session: Session, campaign_id: int, limit: int = 10, **options: object) -> claims.Claim:
    with writing(session):
        found = claims.claim(
            session,
            campaign_id=campaign_id,
            limit=limit,
            worker="w",
            lease_seconds=options.pop("lease_seconds", 60),  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )
        claims.count_claims(session, {campaign_id: found})
    return found


def rows_of(session: Session, campaign_id: int) -> list[Recipient]:
    session.rollback()
    query = select(Recipient).where(Recipient.campaign_id == campaign_id).order_by(Recipient.id)
    return list(session.scalars(query.execution_options(populate_existing=True)))


def assert_counters_true(session: Session, campaign_id: int) -> None:
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def test_claim_takes_the_oldest_rows_in_order_with_attempts_of_their_own(session: Session) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 5)
    claim = take(session, campaign_id, 3)
    assert [row.email for row in claim.rows] == [f"person{n}@example.com" for n in range(3)]
    attempts = {row.attempt_id for row in claim.rows}
    assert len(attempts) == 3
    assert all(len(attempt) == 32 and int(attempt, 16) >= 0 for attempt in attempts)
    stored = rows_of(session, campaign_id)
    assert [r.attempt_id for r in stored[:3]] == [row.attempt_id for row in claim.rows]
    assert [r.status for r in stored] == ["sending"] * 3 + ["pending"] * 2
    assert all(r.lease_until and r.submitted_at is None for r in stored[:3])
    assert_counters_true(session, campaign_id)


def test_suppressed_rows_at_the_head_become_skipped_and_do_not_take_a_place(
    session: Session,
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 30)
        for number in range(20):
            suppress(session, f"person{number}@example.com", "bounced")
        suppress(session, "person20@example.com", "unsubscribed")
    claim = take(session, campaign_id, 4, look_at=40)
    assert claim.skipped == 21
    assert [row.email for row in claim.rows] == [f"person{n}@example.com" for n in range(21, 25)]
    stored = rows_of(session, campaign_id)
    assert {r.reason_code for r in stored[:20]} == {"suppressed"}
    assert stored[0].reason == "On the suppression list: an earlier mail bounced for good."
    assert stored[20].reason_code == "unsubscribed"
    assert [r.status for r in stored[25:]] == ["pending"] * 5
    assert all(r.attempt_id is None and r.lease_until is None for r in stored[:21])
    assert_counters_true(session, campaign_id)


@pytest.mark.parametrize("send_them", [True, False])
def test_undeliverable_rows_are_skipped_unless_the_campaign_sends_to_them(
    session: Session, send_them: bool
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 2, rows={"verdict": Verdict.UNDELIVERABLE})
    claim = take(session, campaign_id, 2, send_undeliverable=send_them)
    assert (len(claim.rows), claim.skipped) == ((2, 0) if send_them else (0, 2))
    assert_counters_true(session, campaign_id)


def test_floor_leaves_lower_rows_alone(session: Session) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 6)
    first = take(session, campaign_id, 2)
    with writing(session):
        ledger.return_to_pending(
            session,
            [(row.id, row.attempt_id) for row in first.rows],
            "test",
            rows_of(session, campaign_id)[0].updated_at,
            was_submitted=False,
        )
    above = take(session, campaign_id, 10, floor=first.last_id)
    assert [row.email for row in above.rows] == [f"person{n}@example.com" for n in range(2, 6)]
    below = take(session, campaign_id, 10)
    assert [row.email for row in below.rows] == ["person0@example.com", "person1@example.com"]


def test_four_workers_at_once_never_claim_a_row_twice(sessions: sessionmaker[Session]) -> None:
    with sessions() as session, writing(session):
        campaign_id = add_campaign(session, 400)
    taken: list[int] = []
    together = threading.Barrier(4)

    def work() -> None:
        with sessions() as mine:
            together.wait()
            while rows := take(mine, campaign_id, 7).rows:
                taken.extend(row.id for row in rows)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions() as session:
        assert sorted(taken) == [row.id for row in rows_of(session, campaign_id)]
        assert max(Counter(taken).values()) == 1
        assert_counters_true(session, campaign_id)


def test_mark_says_which_rows_may_be_handed_to_ses(session: Session) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 3)
    first, second, third = take(session, campaign_id).rows
    with writing(session):
        session.execute(
            update(Recipient).where(Recipient.id == second.id).values(attempt_id="f" * 32)
        )
        marked = claims.mark_submitted(session, [first, second])
    assert marked == {first.id}
    with writing(session):
        assert claims.mark_submitted(session, [first, third]) == {third.id}
    stored = rows_of(session, campaign_id)
    assert [bool(r.submitted_at) for r in stored] == [True, False, True]
    assert [r.attempts for r in stored] == [1, 0, 1]


def test_lease_over_frees_unsubmitted_rows_and_doubts_submitted_ones(
    session: Session, now: datetime
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 4)
    expired = take(session, campaign_id, 2, lease_seconds=-1).rows
    alive = take(session, campaign_id, 1).rows
    with writing(session):
        claims.mark_submitted(session, [expired[1], *alive])
        assert claims.sweep_expired_leases(session, now) == (1, 1)
    stored = rows_of(session, campaign_id)
    assert [r.status for r in stored] == ["pending", "in_doubt", "sending", "pending"]
    assert stored[0].attempt_id is None
    assert stored[1].attempt_id == expired[1].attempt_id
    assert stored[1].reason_code == "worker_lost"
    with writing(session):
        assert claims.sweep_expired_leases(session, now) == (0, 0)
    assert stored[3].status is RecipientStatus.PENDING
    assert_counters_true(session, campaign_id)


def test_the_sweep_on_sqlite_reads_the_small_index_of_open_rows(
    sqlite_url: str, now: datetime
) -> None:
    engine = make_engine(sqlite_url)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        asked.append((statement, values))

    with make_sessions(engine)() as session, writing(session):
        claims.sweep_expired_leases(session, now)
        ((query, values),) = [one for one in asked if "lease_until <" in one[0]]
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)
        assert "USING INDEX ix_recipients_open" in str([row[3] for row in plan])
    engine.dispose()


def test_a_sender_on_postgresql_finds_its_rows_by_id_and_not_among_all_that_were_sent(
    postgres_url: str, now: datetime
) -> None:
    engine = make_engine(postgres_url, by_index=True)
    asked: list[tuple[str, Any]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, values: Any, *rest: Any) -> None:
        asked.append((statement, values))

    with make_sessions(engine)() as session:
        with writing(session):
            campaign_id = add_campaign(session, 3)
        rows = take(session, campaign_id).rows
        with writing(session):
            claims.mark_submitted(session, rows)
            told = [Acceptance(row.id, row.attempt_id, f"m-{row.id}", now) for row in rows]
            assert len(acceptances.record_plain(session, told, now)) == 3
        changes = [one for one in asked if "UPDATE recipients" in one[0]]
        assert len(changes) == 3
        for statement, values in changes:
            plan = session.connection().exec_driver_sql(f"EXPLAIN {statement}", values)
            steps = str(plan.scalars().all())
            assert "pk_recipients" in steps
            assert "ix_recipients_open" not in steps
    engine.dispose()

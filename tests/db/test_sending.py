"""Results in the ledger: each answer, only for the present attempt, with true counters."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from database import writing
from domain.send_outcomes import GIVE_BACK, Outcome, SendResult
from domain.statuses import Fact, RecipientStatus
from models import PastAttempt, RateSample, Recipient
from services import claims, ledger, sending
from services.claims import ClaimedRow
from services.ledger import FactChange
from services.recount import recount
from services.sending import Report
from tests.ledger_rows import add_campaign


def claimed(session: Session, count: int = 1, *, mark: bool = True) -> tuple[int, list[ClaimedRow]]:
    with writing(session):
        campaign_id = add_campaign(session, count)
        found = claims.claim(
            session, campaign_id=campaign_id, limit=count, worker="w", lease_seconds=60
        )
        claims.count_claims(session, {campaign_id: found})
        if mark:
            claims.mark_submitted(session, found.rows)
    return campaign_id, found.rows


def record(session: Session, now: datetime, row: ClaimedRow, result: SendResult) -> Recipient:
    with writing(session):
        sending.record_results(session, [Report(row, result, now)], now)
    session.expire_all()
    return session.get_one(Recipient, row.id)


def assert_counters_true(session: Session, campaign_id: int) -> None:
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def test_accepted_mail_is_sent_with_its_message_id(session: Session, now: datetime) -> None:
    campaign_id, (row,) = claimed(session)
    stored = record(session, now, row, SendResult(Outcome.ACCEPTED, "m-1"))
    assert (stored.status, stored.message_id) == (RecipientStatus.SENT, "m-1")
    assert (stored.sent_at, stored.attempts, stored.lease_until) == (now, 1, None)
    assert_counters_true(session, campaign_id)


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.RECIPIENT_NOT_VERIFIED])
def test_refused_mail_is_failed_with_the_words_of_ses(
    session: Session, now: datetime, outcome: Outcome
) -> None:
    campaign_id, (row,) = claimed(session)
    stored = record(session, now, row, SendResult(outcome, code="c", reason="SES says: no."))
    assert stored.status is RecipientStatus.FAILED
    assert (stored.reason_code, stored.reason) == ("c", "SES says: no.")
    assert_counters_true(session, campaign_id)


def test_unknown_answer_leaves_the_mail_in_doubt(session: Session, now: datetime) -> None:
    campaign_id, (row,) = claimed(session)
    stored = record(session, now, row, SendResult(Outcome.UNKNOWN, code="timeout", reason="?"))
    assert (stored.status, stored.attempt_id) == (RecipientStatus.IN_DOUBT, row.attempt_id)
    assert_counters_true(session, campaign_id)


@pytest.mark.parametrize("outcome", sorted(GIVE_BACK, key=str))
@pytest.mark.parametrize("mark", [True, False])
def test_mail_that_certainly_did_not_leave_waits_for_its_next_attempt(
    session: Session, now: datetime, outcome: Outcome, mark: bool
) -> None:
    campaign_id, (row,) = claimed(session, mark=mark)
    stored = record(session, now, row, SendResult(outcome, code="x", reason="y"))
    assert stored.status is RecipientStatus.PENDING
    assert (stored.attempts, stored.attempt_id, stored.submitted_at) == (0, None, None)
    assert session.scalars(select(PastAttempt)).all() == []
    assert_counters_true(session, campaign_id)


def test_result_counts_also_after_the_lease(session: Session, now: datetime) -> None:
    campaign_id, (row,) = claimed(session)
    doubted = FactChange(row.id, row.attempt_id, Fact.DOUBTED, now)
    with writing(session):
        ledger.apply_changes(session, [doubted], now)
    stored = record(session, now, row, SendResult(Outcome.ACCEPTED, "m-1"))
    assert stored.status is RecipientStatus.SENT
    assert_counters_true(session, campaign_id)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_result_of_an_older_attempt_changes_nothing(
    session: Session, now: datetime, outcome: Outcome
) -> None:
    campaign_id, (row,) = claimed(session)
    with writing(session):
        ledger.return_to_pending(
            session, [(row.id, row.attempt_id)], "test", now, was_submitted=True
        )
        again = claims.claim(
            session, campaign_id=campaign_id, limit=1, worker="v", lease_seconds=60
        )
        claims.count_claims(session, {campaign_id: again})
    stored = record(session, now, row, SendResult(outcome, "m-old", "c", "r"))
    assert stored.status is RecipientStatus.SENDING
    assert (stored.attempt_id, stored.message_id) == (again.rows[0].attempt_id, None)
    assert_counters_true(session, campaign_id)


@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.NOT_SUBMITTED])
def test_event_that_came_first_outranks_a_mail_given_back(
    session: Session, now: datetime, outcome: Outcome
) -> None:
    campaign_id, (row,) = claimed(session)
    with writing(session):
        event = FactChange(row.id, row.attempt_id, Fact.ACCEPTED, now, message_id="m-9")
        ledger.apply_changes(session, [event], now)
    stored = record(session, now, row, SendResult(outcome))
    assert (stored.status, stored.message_id) == (RecipientStatus.SENT, "m-9")
    assert_counters_true(session, campaign_id)


def test_rate_samples_add_up(session: Session) -> None:
    campaign_id, _ = claimed(session)
    with writing(session):
        sending.add_rate_samples(session, {(campaign_id, 7): 3})
        sending.add_rate_samples(session, {(campaign_id, 7): 4, (campaign_id, 8): 1})
    samples = session.execute(select(RateSample.slot, RateSample.accepted)).all()
    assert sorted(map(tuple, samples)) == [(7, 7), (8, 1)]


def test_writing_results_twice_is_the_same_as_once(session: Session, now: datetime) -> None:
    campaign_id, rows = claimed(session, 3)
    reports = [
        Report(rows[0], SendResult(Outcome.ACCEPTED, "m-0"), now),
        Report(rows[1], SendResult(Outcome.UNKNOWN), now),
        Report(rows[2], SendResult(Outcome.THROTTLED), now),
    ]
    for _ in range(2):
        with writing(session):
            sending.record_results(session, reports, now + timedelta(seconds=1))
    states = session.scalars(select(Recipient.status).order_by(Recipient.id)).all()
    assert states == ["sent", "in_doubt", "pending"]
    assert_counters_true(session, campaign_id)

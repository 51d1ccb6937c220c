"""A mail sent anew while an older attempt tells of itself: one copy where one is enough, and true
figures where there were two."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from database import writing
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import RecipientStatus
from models import Campaign, PastAttempt, Recipient
from services import campaigns, claims, delivery_events, doubt, ledger, retry, sending
from services.claims import ClaimedRow
from services.doubt import Decision
from services.installation import installation_id
from services.recount import recount
from services.sending import Report
from tests.ledger_rows import add_campaign
from tests.ses_messages import MailEvents, incoming

ORDERS = [("send", "delivery", "opened"), ("opened", "delivery", "send")]


def claim(session: Session, campaign_id: int, *, mark: bool) -> ClaimedRow:
    with writing(session):
        found = claims.claim(
            session, campaign_id=campaign_id, limit=1, worker="w", lease_seconds=60
        )
        claims.count_claims(session, {campaign_id: found})
        if mark:
            claims.mark_submitted(session, found.rows)
    return found.rows[0]


def record(session: Session, row: ClaimedRow, result: SendResult, now: datetime) -> None:
    with writing(session):
        sending.record_results(session, [Report(row, result, now)], now)


def decide(session: Session, row: ClaimedRow, decision: Decision, now: datetime) -> None:
    with writing(session):
        doubt.settle(session, row.campaign_id, decision, now, "owner@example.com",
                     recipient_id=row.id)  # fmt: skip


@pytest.fixture
def first(session: Session, now: datetime) -> ClaimedRow:
    """A mail that SES took without an answer, and that a person has sent again."""
    with writing(session):
        campaign_id = add_campaign(session, 1)
    row = claim(session, campaign_id, mark=True)
    record(session, row, SendResult(Outcome.UNKNOWN, code="timed_out", reason="?"), now)
    decide(session, row, Decision.AGAIN, now)
    return row


def tell(session: Session, row: ClaimedRow, kinds: tuple[str, ...], now: datetime) -> None:
    with writing(session):
        stored = session.get_one(Recipient, row.id)
        at, attempt = now + timedelta(seconds=1), row.attempt_id
        events = MailEvents(
            installation_id(session), stored, at, message_id=f"m-{attempt}", attempt_id=attempt
        )
        for kind in kinds:
            delivery_events.store(session, incoming([getattr(events, kind)()]), now)


def assert_first_arrived_once(session: Session, row: ClaimedRow) -> None:
    session.expire_all()
    stored = session.get_one(Recipient, row.id)
    assert (stored.status, stored.attempt_id) == (RecipientStatus.DELIVERED, row.attempt_id)
    assert (stored.duplicates, stored.opens) == (0, 1)
    assert stored.message_id == f"m-{row.attempt_id}"
    assert stored.delivered_at is not None
    assert (
        session.scalars(
            select(PastAttempt.attempt_id).where(PastAttempt.attempt_id == row.attempt_id)
        ).all()
        == []
    )
    counters = ledger.read_counters(session, row.campaign_id)
    assert counters == recount(session, row.campaign_id)
    assert (counters["delivered"], counters["duplicates"], counters["opened"]) == (1, 0, 1)


@pytest.mark.parametrize("kinds", ORDERS)
def test_an_attempt_that_tells_before_the_next_is_handed_over_stops_it(
    session: Session, first: ClaimedRow, now: datetime, kinds: tuple[str, ...]
) -> None:
    second = claim(session, first.campaign_id, mark=False)
    tell(session, first, kinds, now)
    with writing(session):
        assert claims.mark_submitted(session, [second]) == set()
    assert_first_arrived_once(session, first)


@pytest.mark.parametrize("outcome", [Outcome.THROTTLED, Outcome.NOT_SUBMITTED, Outcome.REFUSED])
@pytest.mark.parametrize("kinds", ORDERS)
def test_when_the_next_attempt_did_not_leave_the_older_one_is_no_duplicate(
    session: Session, first: ClaimedRow, now: datetime, kinds: tuple[str, ...], outcome: Outcome
) -> None:
    second = claim(session, first.campaign_id, mark=True)
    tell(session, first, kinds, now)
    assert ledger.read_counters(session, first.campaign_id)["duplicates"] == 1
    record(session, second, SendResult(outcome, code="c", reason="r"), now)
    assert_first_arrived_once(session, first)


@pytest.mark.parametrize("kinds", ORDERS)
def test_a_refused_attempt_gives_way_to_an_older_one_that_tells_later(
    session: Session, first: ClaimedRow, now: datetime, kinds: tuple[str, ...]
) -> None:
    second = claim(session, first.campaign_id, mark=True)
    record(session, second, SendResult(Outcome.REFUSED, code="c", reason="r"), now)
    tell(session, first, kinds, now)
    assert_first_arrived_once(session, first)
    with writing(session):
        assert retry.retry_failed(session, first.campaign_id, ["c"], now, "owner") == 0


@pytest.mark.parametrize("kinds", ORDERS)
def test_nobody_is_sent_a_third_mail_when_the_first_is_known_to_have_arrived(
    session: Session, first: ClaimedRow, now: datetime, kinds: tuple[str, ...]
) -> None:
    second = claim(session, first.campaign_id, mark=True)
    record(session, second, SendResult(Outcome.UNKNOWN, code="timed_out", reason="?"), now)
    tell(session, first, kinds, now)
    with writing(session):
        session.execute(update(Recipient).values(presumed_unsent_at=now))
    decide(session, second, Decision.UNSENT, now)
    assert_first_arrived_once(session, first)
    tell(session, second, ("send",), now)
    assert ledger.read_counters(session, first.campaign_id)["duplicates"] == 1


@pytest.mark.parametrize("kinds", ORDERS)
def test_a_mail_cancelled_before_it_was_sent_again_shows_that_it_arrived(
    session: Session, first: ClaimedRow, now: datetime, kinds: tuple[str, ...]
) -> None:
    with writing(session):
        campaigns.cancel(session, first.campaign_id, now, "owner@example.com")
        assert campaigns.cancel_pending(session, first.campaign_id, now) == 1
    tell(session, first, kinds, now)
    assert_first_arrived_once(session, first)
    assert session.get_one(Campaign, first.campaign_id).status == "cancelled"


def test_two_attempts_that_tell_at_once_are_two_copies(
    session: Session, first: ClaimedRow, now: datetime
) -> None:
    second = claim(session, first.campaign_id, mark=True)
    record(session, second, SendResult(Outcome.UNKNOWN, code="timed_out", reason="?"), now)
    decide(session, second, Decision.AGAIN, now)
    with writing(session):
        stored, install = session.get_one(Recipient, first.id), installation_id(session)
        told = [
            MailEvents(install, stored, now, message_id=f"m-{row.attempt_id}",
                       attempt_id=row.attempt_id).delivery()
            for row in (first, second)
        ]  # fmt: skip
        delivery_events.store(session, incoming(told), now)
    counters = ledger.read_counters(session, first.campaign_id)
    assert (counters["delivered"], counters["duplicates"]) == (1, 1)
    assert counters == recount(session, first.campaign_id)

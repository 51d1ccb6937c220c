"""The short cut for accepted mails: what it writes is what the ledger writes, and nothing more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, select
from sqlalchemy.orm import Session

from database import writing
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import Fact
from models import Recipient
from services import acceptances, claims, ledger, sending
from services.acceptances import Acceptance
from services.claims import ClaimedRow
from services.ledger import FactChange
from services.recount import recount
from services.sending import Report
from tests.ledger_rows import add_campaign


def claimed(session: Session, count: int) -> tuple[int, list[ClaimedRow]]:
    with writing(session):
        campaign_id = add_campaign(session, count)
        found = claims.claim(
            session, campaign_id=campaign_id, limit=count, worker="w", lease_seconds=60
        )
        claims.count_claims(session, {campaign_id: found})
        claims.mark_submitted(session, found.rows)
    return campaign_id, found.rows


def stored(session: Session, row_id: int) -> dict[str, Any]:
    """A row but for what differs between two rows that went the same way."""
    table: Table = Recipient.__table__  # type: ignore[assignment]
    columns = [
        column
        for column in table.columns
        if column.name
        not in ("id", "email", "address", "address_hash", "attempt_id", "submitted_at",
                "lease_until", "message_id", "domain", "variables", "line", "campaign_id")
    ]  # fmt: skip
    return dict(session.execute(select(*columns).where(table.c.id == row_id)).one()._mapping)


def accept(row: ClaimedRow, at: datetime, message_id: str = "m-1") -> Acceptance:
    return Acceptance(row.id, row.attempt_id, message_id, at)


def test_the_short_cut_writes_what_the_ledger_writes(session: Session, now: datetime) -> None:
    campaign_id, (short, long) = claimed(session, 2)
    later = now + timedelta(seconds=2)
    with writing(session):
        assert acceptances.record_plain(session, [accept(short, now)], later) == {short.id}
        change = FactChange(long.id, long.attempt_id, Fact.ACCEPTED, now, message_id="m-1")
        ledger.apply_changes(session, [change], later)
    assert stored(session, short.id) == stored(session, long.id)
    assert session.get_one(Recipient, short.id).message_id == "m-1"
    assert session.get_one(Recipient, short.id).lease_until is None
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


@pytest.mark.parametrize("known", [Fact.DELIVERED, Fact.BOUNCED, Fact.DOUBTED, Fact.ACCEPTED])
def test_a_row_of_which_more_is_known_is_left_to_the_ledger(
    session: Session, now: datetime, known: Fact
) -> None:
    campaign_id, (row,) = claimed(session, 1)
    with writing(session):
        ledger.apply_changes(session, [FactChange(row.id, row.attempt_id, known, now)], now)
    before = stored(session, row.id)
    with writing(session):
        assert acceptances.record_plain(session, [accept(row, now)], now) == set()
    assert stored(session, row.id) == before
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def test_an_answer_to_an_older_attempt_changes_nothing(session: Session, now: datetime) -> None:
    campaign_id, rows = claimed(session, 2)
    with writing(session):
        ledger.return_to_pending(
            session, [(rows[0].id, rows[0].attempt_id)], "Lost.", now, was_submitted=True
        )
        again = claims.claim(
            session, campaign_id=campaign_id, limit=1, worker="w", lease_seconds=60
        )
        claims.count_claims(session, {campaign_id: again})
    given = [accept(rows[0], now), accept(rows[1], now, "m-2")]
    with writing(session):
        assert acceptances.record_plain(session, given, now) == {rows[1].id}
    assert session.get_one(Recipient, rows[0].id).message_id is None
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def test_of_two_answers_for_one_attempt_the_first_is_kept(session: Session, now: datetime) -> None:
    campaign_id, (row,) = claimed(session, 1)
    later = now + timedelta(seconds=1)
    reports = [
        Report(row, SendResult(Outcome.ACCEPTED, "first"), now),
        Report(row, SendResult(Outcome.ACCEPTED, "second"), later),
    ]
    with writing(session):
        sending.record_results(session, reports, later)
    kept = session.get_one(Recipient, row.id)
    assert (kept.message_id, kept.sent_at) == ("first", now)
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


#: What may be told of a row: (row, outcome, message id, seconds later).
ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(
            [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.REFUSED, Outcome.UNKNOWN,
             Outcome.THROTTLED, Outcome.NOT_SUBMITTED, Outcome.RECIPIENT_NOT_VERIFIED]
        ),
        st.sampled_from(["first", "second"]),
        st.integers(0, 3),
    ),
    max_size=6,
)  # fmt: skip
#: What events have told before: (row, fact).
EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([Fact.DELIVERED, Fact.BOUNCED, Fact.DOUBTED])),
    max_size=2,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(answers=ANSWERS, events=EVENTS)
def test_any_answers_end_as_without_the_short_cut(
    session: Session,
    now: datetime,
    answers: list[tuple[int, Outcome, str, int]],
    events: list[tuple[int, Fact]],
) -> None:
    ended = []
    for short_cut in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not short_cut:
                patch.setattr(acceptances, "record_plain", lambda *_: set())
            campaign_id, rows = claimed(session, 3)
            reports = [
                Report(
                    rows[at],
                    SendResult(outcome, message if outcome is Outcome.ACCEPTED else None, "code"),
                    now + timedelta(seconds=later),
                )
                for at, outcome, message, later in answers
            ]
            with writing(session):
                for at, fact in events:
                    change = FactChange(rows[at].id, rows[at].attempt_id, fact, now)
                    ledger.apply_changes(session, [change], now)
                sending.record_results(session, reports, now)
        counters = ledger.read_counters(session, campaign_id)
        assert counters == recount(session, campaign_id)
        messages = [session.get_one(Recipient, row.id).message_id for row in rows]
        ended.append(([stored(session, row.id) for row in rows], messages, counters))
        session.rollback()
    for of_one, of_other in zip(*(rows for rows, _, _ in ended), strict=True):
        if now not in (of_one["updated_at"], of_other["updated_at"]):  # both as they were claimed
            del of_one["updated_at"], of_other["updated_at"]
        assert of_one == of_other
    assert ended[0][1:] == ended[1][1:]

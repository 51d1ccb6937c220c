"""Silence counts only if every condition holds; each test here lets exactly one fail."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from database import writing
from domain.doubt import Condition, Evidence, QueueReading
from domain.statuses import EventStatus, Fact, RecipientStatus
from models import DeadLetter, Event, PastAttempt, Recipient, TestMail
from services import doubt, ledger
from services.doubt import Decision, InDoubt, Witness
from services.ledger import FactChange
from services.recount import recount
from tests.ledger_rows import add_campaign

GRACE = 120.0
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NOW = START + timedelta(seconds=600)
PUBLISHES = Condition(True, "published")


def reading(seconds: float, **values: Any) -> QueueReading:
    empty = {"visible": 0, "in_flight": 0, "delayed": 0, "dead_letters": 0}
    return QueueReading(START.timestamp() + seconds, **(empty | values))


GOOD = Witness(lambda name: PUBLISHES, [reading(500), reading(530), reading(560)])


def send_event(recipient: Recipient, key: int) -> dict[str, Any]:
    return {
        "key": key.to_bytes(16, "big"),
        "kind": "Send",
        "status": EventStatus.APPLIED,
        "door": "sqs",
        "received_at": START,
        "recipient_id": recipient.id,
        "attempt_id": recipient.attempt_id if key % 2 else None,  # None: the present one
        "message_id": recipient.message_id,
    }


@pytest.fixture
def campaign(session: Session) -> int:
    """25 mails accepted before and 25 after one in doubt (the 26th), a second apart each."""
    with writing(session):
        campaign_id = add_campaign(session, 51)
        rows = session.scalars(select(Recipient).order_by(Recipient.id)).all()
        changes = []
        for number, row in enumerate(rows):
            row.attempt_id = f"{number:032x}"
            row.submitted_at = START + timedelta(seconds=number)
            row.attempts = 1
            session.flush()
            accepted = number != 25
            changes.append(
                FactChange(
                    row.id,
                    row.attempt_id,
                    Fact.CLAIMED | (Fact.ACCEPTED if accepted else Fact.DOUBTED),
                    START + timedelta(seconds=number, milliseconds=500),
                    message_id=f"m-{number}" if accepted else None,
                )
            )
        session.flush()
        ledger.apply_changes(session, changes, START)
        session.expire_all()
        rows = session.scalars(select(Recipient).order_by(Recipient.id)).all()
        events = [send_event(r, n) for n, r in enumerate(rows) if r.message_id]
        session.execute(insert(Event), events)
    return campaign_id


def the_row(session: Session) -> InDoubt:
    (row,) = doubt.rows_in_doubt(session)
    return row


def judge(session: Session, witness: Witness = GOOD, now: datetime = NOW) -> Evidence:
    return doubt.judge(session, the_row(session), witness, GRACE, now.timestamp())


def failed(evidence: Evidence) -> list[str]:
    conditions = evidence.as_json()["conditions"]
    return [name for name, condition in conditions.items() if not condition["met"]]


def drop_event_of(session: Session, number: int) -> None:
    with writing(session):
        session.execute(delete(Event).where(Event.message_id == f"m-{number}"))


def test_silence_counts_when_every_condition_holds(session: Session, campaign: int) -> None:
    evidence = judge(session)
    assert failed(evidence) == []
    assert evidence.presumed_unsent


def test_a_without_published_send_events_silence_says_nothing(
    session: Session, campaign: int
) -> None:
    witness = replace(GOOD, publishes=lambda name: Condition(False, "not published"))
    assert failed(judge(session, witness)) == ["send_published"]


@pytest.mark.parametrize("silent", [5, 24, 26, 45])
def test_b_one_silent_neighbour_of_twenty_on_either_side_is_enough_to_doubt(
    session: Session, campaign: int, silent: int
) -> None:
    drop_event_of(session, silent)
    assert failed(judge(session)) == ["neighbours"]


@pytest.mark.parametrize("silent", [0, 4, 46, 50])
def test_b_mails_beyond_the_twenty_do_not_matter(
    session: Session, campaign: int, silent: int
) -> None:
    drop_event_of(session, silent)
    assert failed(judge(session)) == []


def test_b_without_a_later_mail_only_a_probe_that_told_of_itself_will_do(
    session: Session, campaign: int
) -> None:
    row = the_row(session)
    with writing(session):
        later = Recipient.id > row.id
        session.execute(delete(Event).where(Event.recipient_id > row.id))
        session.execute(delete(Recipient).where(later))
    assert failed(judge(session)) == ["neighbours"]
    assert "a probe" in judge(session).neighbours.detail
    with writing(session):
        session.add(
            TestMail(campaign_id=campaign, email="success@simulator.amazonses.com",
                     attempt_id="f" * 32, status="sent", message_id="m-probe",
                     created_at=START + timedelta(seconds=400), created_by=doubt.PROBE_BY)
        )  # fmt: skip
    assert failed(judge(session)) == ["neighbours"]
    with writing(session):
        session.add(
            Event(key=b"p" * 16, kind="Send", status=EventStatus.IGNORED, door="sqs",
                  received_at=START - timedelta(hours=1), attempt_id="f" * 32)
        )  # fmt: skip
    assert failed(judge(session)) == []


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [reading(500), reading(560)],
        [reading(500), reading(510), reading(520)],
        [reading(500), reading(530, visible=1), reading(560)],
        [reading(500), reading(530, in_flight=1), reading(560)],
        [reading(500), reading(530, delayed=1), reading(560)],
        [reading(500), reading(530, visible=None), reading(560)],
        [reading(-60), reading(-30), reading(560)],
        [reading(500), reading(530), reading(560, dead_letters=1)],
        [reading(500), reading(530), reading(560, dead_letters=None)],
    ],
)
def test_c_a_queue_that_was_not_empty_long_enough_keeps_the_doubt(
    session: Session, campaign: int, readings: list[QueueReading]
) -> None:
    assert failed(judge(session, replace(GOOD, readings=readings))) == ["queue_empty"]


@pytest.mark.parametrize("status", [EventStatus.NEW, EventStatus.DEAD])
def test_c_an_event_that_is_not_applied_keeps_the_doubt(
    session: Session, campaign: int, status: EventStatus
) -> None:
    with writing(session):
        session.add(Event(key=b"n" * 16, kind="Send", status=status, door="sqs", received_at=NOW))
    assert failed(judge(session)) == ["queue_empty"]


@pytest.mark.parametrize("heard_before", [0, 59])
def test_c_a_message_that_cannot_be_read_may_be_the_missing_event(
    session: Session, campaign: int, heard_before: int
) -> None:
    at = the_row(session).submitted_at - timedelta(minutes=heard_before)  # a host's clock is wrong
    with writing(session):
        session.add(DeadLetter(door="sqs", fingerprint="f", body="?", reason="?", received_at=at))
    assert failed(judge(session)) == ["queue_empty"]
    assert "1 message since then cannot be read" in judge(session).queue_empty.detail


def test_c_a_message_that_came_long_before_the_mail_is_not_about_it(
    session: Session, campaign: int
) -> None:
    at = START - timedelta(hours=2)
    with writing(session):
        session.add(DeadLetter(door="sqs", fingerprint="f", body="?", reason="?", received_at=at))
    assert failed(judge(session)) == []


def test_c_an_event_of_the_attempt_is_no_silence_though_it_names_another_address(
    session: Session, campaign: int
) -> None:
    attempt = the_row(session).attempt_id
    with writing(session):
        session.add(Event(key=b"o" * 16, kind="Delivery", status=EventStatus.IGNORED, door="sqs",
                          received_at=NOW, attempt_id=attempt))  # fmt: skip
    assert failed(judge(session)) == ["queue_empty"]


@pytest.mark.parametrize(("number", "submitted"), [(20, 600), (30, -600)])
def test_b_neighbours_prove_nothing_when_the_clocks_disagree_about_who_is_near(
    session: Session, campaign: int, number: int, submitted: int
) -> None:
    with writing(session):
        session.execute(
            update(Recipient)
            .where(Recipient.message_id == f"m-{number}")
            .values(submitted_at=START + timedelta(seconds=submitted))
        )
    assert failed(judge(session)) == ["neighbours"]
    assert "clocks" in judge(session).neighbours.detail


def test_d_within_the_grace_silence_says_nothing(session: Session, campaign: int) -> None:
    early = the_row(session).submitted_at + timedelta(seconds=GRACE - 1)
    readings = [reading(26), reading(60), reading(90)]
    assert failed(judge(session, replace(GOOD, readings=readings), early)) == ["grace_over"]


def test_evidence_is_recorded_and_taken_back_when_it_no_longer_holds(
    session: Session, campaign: int
) -> None:
    with writing(session):
        doubt.keep_evidence(session, the_row(session), judge(session), NOW)
    row = the_row(session)
    assert row.presumed_unsent_at == NOW
    assert row.evidence is not None
    assert row.evidence["conditions"]["grace_over"]["met"] is True
    drop_event_of(session, 24)
    with writing(session):
        doubt.keep_evidence(session, row, judge(session), NOW)
    assert the_row(session).presumed_unsent_at is None


def test_presumed_unsent_mail_gets_a_new_attempt_and_keeps_the_old_one(
    session: Session, campaign: int
) -> None:
    row = the_row(session)
    with writing(session):
        assert doubt.retry_presumed_unsent(session, [row], NOW) == [row.id]
    stored = session.get_one(Recipient, row.id)
    assert (stored.status, stored.attempt_id) == (RecipientStatus.PENDING, None)
    past = session.get_one(PastAttempt, row.attempt_id)
    assert past.recipient_id == row.id
    assert ledger.read_counters(session, campaign) == recount(session, campaign)


def test_event_that_came_meanwhile_beats_the_presumption(session: Session, campaign: int) -> None:
    row = the_row(session)
    with writing(session):
        change = FactChange(row.id, row.attempt_id, Fact.ACCEPTED, NOW, message_id="m-25")
        ledger.apply_changes(session, [change], NOW)
    with writing(session):
        assert doubt.retry_presumed_unsent(session, [row], NOW) == []
    assert session.get_one(Recipient, row.id).status is RecipientStatus.SENT


def settle(session: Session, campaign_id: int, decision: Decision, **chosen: Any) -> int:
    with writing(session):
        return doubt.settle(session, campaign_id, decision, NOW, "owner@example.com", **chosen).rows


def test_person_sends_only_the_presumed_unsent(session: Session, campaign: int) -> None:
    assert settle(session, campaign, Decision.UNSENT) == 0
    with writing(session):
        doubt.keep_evidence(session, the_row(session), judge(session), NOW)
    assert settle(session, campaign, Decision.UNSENT) == 1
    assert doubt.rows_in_doubt(session) == []


def test_person_treats_doubt_as_sent(session: Session, campaign: int) -> None:
    row = the_row(session)
    assert settle(session, campaign, Decision.SENT) == 1
    stored = session.get_one(Recipient, row.id)
    assert (stored.status, stored.reason_code) == (RecipientStatus.SENT, "treated_as_sent")
    assert ledger.read_counters(session, campaign) == recount(session, campaign)


def test_person_sends_again_only_what_was_chosen(session: Session, campaign: int) -> None:
    row = the_row(session)
    assert settle(session, campaign, Decision.AGAIN, recipient_id=row.id + 1) == 0
    assert settle(session, campaign, Decision.AGAIN, recipient_id=row.id - 1) == 0
    assert settle(session, campaign, Decision.AGAIN, recipient_id=row.id) == 1
    past = session.get_one(PastAttempt, row.attempt_id)
    assert past.ended_because == "Sent again by owner@example.com; it may arrive twice."


def test_a_decision_for_all_goes_in_steps_and_meets_each_row_once(session: Session) -> None:
    doubtful = {"status": RecipientStatus.IN_DOUBT, "facts": int(Fact.CLAIMED | Fact.DOUBTED)}
    with writing(session):
        campaign_id = add_campaign(session, 401, rows=doubtful | {"submitted_at": START})
        for row in session.scalars(select(Recipient)):
            row.attempt_id = f"{row.id:032x}"
    by = "owner@example.com"
    with writing(session):
        first = doubt.settle(session, campaign_id, Decision.SENT, NOW, by)
    with writing(session):
        second = doubt.settle(
            session, campaign_id, Decision.SENT, NOW, by, after_id=first.after_id or 0
        )
    assert (first.rows, second.rows, second.after_id) == (400, 1, None)
    assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def test_the_summary_counts_all_and_says_which_conditions_lack(
    session: Session, campaign: int
) -> None:
    before = doubt.summarise(session, campaign)
    assert (before.total, before.presumed, before.judged) == (1, 0, 0)
    drop_event_of(session, 24)
    with writing(session):
        doubt.keep_evidence(session, the_row(session), judge(session), NOW)
    after = doubt.summarise(session, campaign)
    assert (after.judged, after.oldest) == (1, START + timedelta(seconds=25))
    assert [name for name, unmet in after.unmet.items() if unmet] == ["neighbours"]


def test_neighbours_of_another_configuration_set_prove_nothing(
    session: Session, campaign: int
) -> None:
    with writing(session):
        other = add_campaign(session, 0, configuration_set="other")
        session.execute(
            update(Recipient).where(Recipient.message_id.is_not(None)).values(campaign_id=other)
        )
    assert failed(judge(session)) == ["neighbours"]

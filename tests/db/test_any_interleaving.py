"""Any interleaving of claims, results, crashes, events, pause, resume and cancel keeps the
promises: nobody lost (I1), nobody twice (I2), every event once (I4), true numbers (I7).

A model of SES stands beside the real services: it knows what was really accepted, answers as
it likes, and tells its events in any order, any number of times.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, Recipient
from services import campaigns, claims, delivery_events, doubt, ledger, lifecycle, sending
from services.claims import ClaimedRow
from services.installation import installation_id
from services.recount import recount
from services.sending import Report
from tests.ledger_rows import add_campaign, suppress
from tests.ses_messages import MailEvents, incoming

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PEOPLE = 8
WORKERS = st.integers(0, 1)
ANSWERS = st.sampled_from(["accepted", "lost", "unknown", "throttled", "refused"])
_numbers = itertools.count(1)


@dataclass
class Held:
    """A row in a worker's hands. `fenced` once its lease is over: it must not be submitted."""

    row: ClaimedRow
    marked: bool = False
    called: bool = False
    fenced: bool = False


class Interleavings(RuleBasedStateMachine):
    """One campaign of eight people, two workers, one SES."""

    sessions: sessionmaker[Session]

    @initialize()
    def begin(self) -> None:
        number = next(_numbers)
        self.now = START
        self.held: dict[int, list[Held]] = {0: [], 1: []}
        self.reports: list[Report] = []
        self.accepted: dict[str, str] = {}  # attempt id -> message id, as SES knows it
        self.copies: dict[int, int] = {}
        self.untold: list[tuple[str, str]] = []  # attempt id, event text
        self.told: list[str] = []
        self.suppressed: set[str] = set()
        people = [f"person{n}-of-{number}@example.com" for n in range(PEOPLE)]
        with self.sessions() as session, writing(session):
            self.campaign_id = add_campaign(session, people)
            self.install = installation_id(session)

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @rule(worker=WORKERS, limit=st.integers(1, 4))
    def claim(self, worker: int, limit: int) -> None:
        with self.sessions() as session, writing(session):
            if session.get_one(Campaign, self.campaign_id).status is not CampaignStatus.SENDING:
                return
            found = claims.claim(
                session, campaign_id=self.campaign_id, limit=limit, worker=str(worker),
                lease_seconds=60,
            )  # fmt: skip
            claims.count_claims(session, {self.campaign_id: found})
        assert not {row.email for row in found.rows} & self.suppressed
        self.held[worker] += [Held(row) for row in found.rows]

    @rule(worker=WORKERS)
    def mark(self, worker: int) -> None:
        fresh = [held for held in self.held[worker] if not held.marked]
        with self.sessions() as session, writing(session):
            marked = claims.mark_submitted(session, [held.row for held in fresh])
        for held in fresh:
            held.marked = held.row.id in marked
        self.held[worker] = [h for h in self.held[worker] if h.marked]

    @rule(worker=WORKERS, limit=st.integers(1, 4), answers=st.lists(ANSWERS, max_size=4))
    def turn(self, worker: int, limit: int, answers: list[str]) -> None:
        """What a worker does in a row when nothing comes between; it may stop at any call."""
        self.claim(worker, limit)
        self.mark(worker)
        for answer in answers:
            self.call(worker, answer)

    @rule(worker=WORKERS, answer=ANSWERS)
    def call(self, worker: int, answer: str) -> None:
        ready = [h for h in self.held[worker] if h.marked and not h.called]
        if not ready:
            return
        held = ready[0]
        held.called = True
        if held.fenced:
            self.answer(held, SendResult(Outcome.NOT_SUBMITTED, code="lease_over"))
            return
        if answer in ("accepted", "lost"):
            self.accept(held.row)
        results = {
            "accepted": SendResult(Outcome.ACCEPTED, self.accepted.get(held.row.attempt_id)),
            "lost": SendResult(Outcome.UNKNOWN, code="timeout", reason="?"),
            "unknown": SendResult(Outcome.UNKNOWN, code="timeout", reason="?"),
            "throttled": SendResult(Outcome.THROTTLED),
            "refused": SendResult(Outcome.REFUSED, code="no", reason="no"),
        }
        self.answer(held, results[answer])

    def accept(self, row: ClaimedRow) -> None:
        message_id = f"m-{row.attempt_id}"
        self.accepted[row.attempt_id] = message_id
        self.copies[row.id] = self.copies.get(row.id, 0) + 1
        with self.sessions() as session:
            stored = session.get_one(Recipient, row.id)
        told = MailEvents(
            self.install, stored, self.tick(), message_id=message_id, attempt_id=row.attempt_id
        )
        for text in (told.send(), told.delivery(), told.opened()):
            self.untold.append((row.attempt_id, text))

    def answer(self, held: Held, result: SendResult) -> None:
        self.reports.append(Report(held.row, result, self.tick()))
        for rows in self.held.values():
            if held in rows:
                rows.remove(held)

    @rule()
    def write_results(self) -> None:
        with self.sessions() as session, writing(session):
            sending.record_results(session, self.reports, self.tick())
        self.reports = []

    @rule(worker=WORKERS)
    def crash(self, worker: int) -> None:
        """The worker and its unwritten results are gone; so is what it held."""
        self.held[worker] = []
        self.reports = []

    @rule()
    def leases_run_out(self) -> None:
        """Time passes: every lease is over, and every worker's fence knows it."""
        for held in itertools.chain(*self.held.values()):
            held.fenced = True
        with self.sessions() as session, writing(session):
            session.execute(
                update(Recipient)
                .where(
                    Recipient.campaign_id == self.campaign_id,
                    Recipient.status == RecipientStatus.SENDING,
                )
                .values(lease_until=START)
            )
            claims.sweep_expired_leases(session, self.tick())

    @rule(data=st.data())
    def tell_an_event(self, data: st.DataObject) -> None:
        assume(self.untold)
        place = data.draw(st.integers(0, len(self.untold) - 1))
        text = self.untold.pop(place)[1]
        self.told.append(text)
        self.store(text)

    @rule(data=st.data())
    def tell_an_event_again(self, data: st.DataObject) -> None:
        assume(self.told)
        self.store(data.draw(st.sampled_from(self.told)))

    def store(self, text: str) -> None:
        with self.sessions() as session, writing(session):
            delivery_events.store(session, incoming([text]), self.tick())

    @rule()
    def silence_is_judged(self) -> None:
        """A row in doubt of which SES has nothing more to tell is sent anew."""
        waiting = {attempt for attempt, _ in self.untold}
        busy = {held.row.attempt_id for held in itertools.chain(*self.held.values())}
        with self.sessions() as session, writing(session):
            silent = [
                row
                for row in doubt.rows_in_doubt(session, self.campaign_id)
                if row.attempt_id not in waiting | busy and row.attempt_id not in self.accepted
            ]
            doubt.retry_presumed_unsent(session, silent, self.tick())

    @rule(deed=st.sampled_from(["pause", "resume", "cancel"]), often=st.integers(0, 3))
    def deed(self, deed: str, often: int) -> None:
        if deed == "cancel" and often:
            return
        with self.sessions() as session, writing(session):
            try:
                if deed == "pause":
                    campaigns.pause(session, self.campaign_id, self.tick(), by="owner@example.com")
                elif deed == "resume":
                    campaigns.resume(session, self.campaign_id, self.tick())
                else:
                    campaigns.cancel(session, self.campaign_id, self.tick(), "owner@example.com")
                    campaigns.cancel_pending(session, self.campaign_id, self.tick())
            except campaigns.Refused:
                session.rollback()

    @rule(person=st.integers(0, PEOPLE - 1))
    def suppress_somebody(self, person: int) -> None:
        with self.sessions() as session, writing(session):
            rows = select(Recipient.email).where(Recipient.campaign_id == self.campaign_id)
            email = session.scalars(rows.order_by(Recipient.id)).all()[person]
            if email not in self.suppressed:
                suppress(session, email)
        self.suppressed.add(email)

    @rule()
    def housekeeping(self) -> None:
        with self.sessions() as session, writing(session):
            lifecycle.note_doubt(session)
            for done in lifecycle.finish_done(session, self.tick()):
                counters = ledger.read_counters(session, done)
                assert counters["pending"] + counters["sending"] + counters["in_doubt"] == 0

    @invariant()
    def nobody_has_it_twice(self) -> None:
        assert max(getattr(self, "copies", {}).values(), default=0) <= 1

    @invariant()
    def the_numbers_are_true_and_nobody_is_lost(self) -> None:
        if not hasattr(self, "campaign_id"):
            return
        with self.sessions() as session:
            counters = ledger.read_counters(session, self.campaign_id)
            assert counters == recount(session, self.campaign_id)
        assert sum(counters[status] for status in RecipientStatus) == PEOPLE

    def teardown(self) -> None:
        """Everything is told at last: whoever has a copy is delivered, counted once."""
        if not hasattr(self, "campaign_id"):
            return
        self.write_results()
        for text in self.told + [text for _, text in self.untold]:
            self.store(text)
        with self.sessions() as session:
            rows = session.scalars(
                select(Recipient).where(Recipient.campaign_id == self.campaign_id)
            ).all()
            for row in rows:
                has_copy = bool(self.copies.get(row.id))
                assert (row.status is RecipientStatus.DELIVERED) is has_copy
                assert (row.opens, row.duplicates) == (int(has_copy), 0)
            counters = ledger.read_counters(session, self.campaign_id)
        assert counters["opened"] == counters["delivered"] == len(self.copies)
        self.the_numbers_are_true_and_nobody_is_lost()


def test_any_interleaving_keeps_the_promises(sessions: sessionmaker[Session]) -> None:
    machine = type("Machine", (Interleavings,), {"sessions": sessions})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

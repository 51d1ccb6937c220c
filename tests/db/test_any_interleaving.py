"""Any interleaving of claims, results, crashes, stops, events, pause, resume, cancel, retry,
suppression and erasure keeps the promises: nobody lost (I1), nobody twice (I2), every event once
(I4), nobody who said no (I6), true numbers (I7).

A model of SES stands beside the real services: it knows what was really accepted, answers as
it likes, and tells its events in any order, any number of times. Workers stop between any two
steps for as long as they like; what holds them back then is the sender's own fence.

Each of these mistakes was made by hand and is found: an unknown outcome recorded as refused, or
given back; the attempt id left out of the comparison in the mark, in the ledger, in the way back
to pending, and in the short cut for accepted mails; a sweep that frees what was submitted; a pool
without its fence; late events that revive nothing, that do not stop the next attempt, or whose
attempt is not taken back when the next one did not leave.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact
from database import epoch_now, writing
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, Recipient
from sender.pool import CHECK_SECONDS, SenderPool, Work, last_submission
from services import (
    campaigns,
    claims,
    delivery_events,
    doubt,
    erasure,
    ledger,
    lifecycle,
    retry,
    sending,
)
from services.claims import ClaimedRow
from services.doubt import Decision
from services.installation import installation_id
from services.recount import recount
from services.sending import Report
from tests.ledger_rows import add_campaign, suppress
from tests.ses_messages import MailEvents, incoming

#: As the settings have it; silence counts a while after the lease (both seconds).
LEASE, GRACE = 60.0, 100.0
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PEOPLE = 8
#: Reasons of failures that a person retries, those of lost answers included.
CODES = ["no", "timeout"]
WORKERS = st.integers(0, 1)
ALL_ANSWERS = ["accepted", "lost", "unknown", "throttled", "refused"]
#: Where a worker may stop, with the answer to its call; and what the one after it comes to.
STOPS = [("claimed", ""), ("marked", "")] + [("called", answer) for answer in ALL_ANSWERS]
THEN = ["claimed", "marked", "accepted", "lost"]
ANSWERS = st.sampled_from(ALL_ANSWERS)
_numbers = itertools.count(1)


@dataclass
class Held:
    """A row in a worker's hands."""

    work: Work
    marked: bool = False

    @property
    def row(self) -> ClaimedRow:
        return self.work.row


class Service:
    """Where a worker's mails go: asks the guard last of all, as the real calls do."""

    def __init__(self, answer: Callable[[Work], SendResult]) -> None:
        self.answer = answer
        self.work: Work | None = None

    def send(self, mail: object, guard: Callable[[], bool]) -> SendResult:
        assert self.work is not None
        if not guard():
            return SendResult(Outcome.NOT_SUBMITTED, code="lease_over")
        return self.answer(self.work)


class Maker:
    """Makes a mail of every row."""

    def make(self, row: ClaimedRow) -> object:
        return row


class Interleavings(RuleBasedStateMachine):
    """One campaign of eight people, two workers, one SES."""

    sessions: sessionmaker[Session]

    @initialize()
    def begin(self) -> None:
        number = next(_numbers)
        self.now = START
        self.held: dict[int, list[Held]] = {0: [], 1: []}
        self.reports: dict[int, list[Report]] = {0: [], 1: []}
        self.accepted: dict[str, str] = {}  # attempt id -> message id, as SES knows it
        self.copies: dict[int, int] = {}
        self.wanted_again: dict[int, int] = {}  # by a person, who was told that it may come twice
        self.known: set[int] = set()  # rows of which an event has told
        self.untold: list[tuple[str, str]] = []  # attempt id, event text
        self.told: list[str] = []
        self.suppressed: dict[str, float] = {}  # address -> since when
        self.erased: set[int] = set()
        self.believed: set[int] = set()  # a person took them for sent
        self.paused_at: float | None = None
        self.boot = 1000.0  # the clock of the machine, which runs on while a worker stands still
        self.next_answer = "accepted"
        self.service = Service(self.reply)
        self.pool = SenderPool(
            cast(Any, self.service), cast(Any, Maker()), clock=lambda: self.boot, sleep=self.wait
        )
        people = [f"person{n}-of-{number}@example.com" for n in range(PEOPLE)]
        with self.sessions() as session, writing(session):
            self.campaign_id = add_campaign(session, people)
            self.install = installation_id(session)

    def wait(self, seconds: float) -> None:
        self.boot += seconds

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @rule(worker=WORKERS, limit=st.integers(1, 4))
    def claim(self, worker: int, limit: int) -> None:
        before = self.boot
        with self.sessions() as session, writing(session):
            if session.get_one(Campaign, self.campaign_id).status is not CampaignStatus.SENDING:
                return
            found = claims.claim(
                session, campaign_id=self.campaign_id, limit=limit, worker=str(worker),
                lease_seconds=LEASE,
            )  # fmt: skip
            claims.count_claims(session, {self.campaign_id: found})
        assert not {row.email for row in found.rows} & self.suppressed.keys()
        fence = last_submission(before, LEASE)
        self.held[worker] += [
            Held(Work(row, before, fence, checked_at=before, rate=100.0)) for row in found.rows
        ]

    @rule(worker=WORKERS)
    def mark(self, worker: int) -> None:
        fresh = [held for held in self.held[worker] if not held.marked]
        with self.sessions() as session, writing(session):
            for held in fresh:
                held.marked = bool(claims.mark_submitted(session, [held.row]))
        for held in fresh:
            if held.marked:
                assert self.stored(held.row.id).attempt_id == held.row.attempt_id
                assert held.row.id not in self.known
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
        """The real pool handles the next mail; one that missed its slot gets another one."""
        ready = [held for held in self.held[worker] if held.marked]
        if not ready:
            return
        held = ready[0]
        self.held[worker].remove(held)
        self.next_answer, self.service.work = answer, held.work
        self.pool._handle([held.work])
        while self.pool.missed:
            again = self.pool.missed.popleft()._replace(due=self.boot)
            self.held[worker].append(Held(again, marked=True))
        while self.pool.reports:
            self.reports[worker].append(self.pool.reports.popleft())

    def reply(self, work: Work) -> SendResult:
        """What SES says to a call; it may take its time."""
        row, answer = work.row, self.next_answer
        if answer in ("accepted", "lost"):
            self.accept(row)
        if answer in ("lost", "unknown"):
            self.wait(10.0)
        results = {
            "accepted": SendResult(Outcome.ACCEPTED, self.accepted.get(row.attempt_id)),
            "lost": SendResult(Outcome.UNKNOWN, code="timeout", reason="?"),
            "unknown": SendResult(Outcome.UNKNOWN, code="timeout", reason="?"),
            "throttled": SendResult(Outcome.THROTTLED),
            "refused": SendResult(Outcome.REFUSED, code="no", reason="no"),
        }
        return results[answer]

    def accept(self, row: ClaimedRow) -> None:
        assert self.boot - self.suppressed.get(row.email, self.boot) <= CHECK_SECONDS
        assert self.paused_at is None or self.boot - self.paused_at <= CHECK_SECONDS
        assert row.id not in self.erased
        message_id = f"m-{row.attempt_id}"
        self.accepted[row.attempt_id] = message_id
        self.copies[row.id] = self.copies.get(row.id, 0) + 1
        told = MailEvents(
            self.install, self.stored(row.id), self.tick(), message_id=message_id,
            attempt_id=row.attempt_id,
        )  # fmt: skip
        for text in (told.send(), told.delivery(), told.opened()):
            self.untold.append((row.attempt_id, text))

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0, 50.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        """Every process stands still for so long, or has nothing to do; leases run on."""
        self.boot += seconds
        mine = Recipient.campaign_id == self.campaign_id
        span = timedelta(seconds=seconds)
        with self.sessions() as session, writing(session):
            for row in session.scalars(select(Recipient).where(mine)):
                if row.lease_until is not None:
                    row.lease_until -= span
                if row.submitted_at is not None:
                    row.submitted_at -= span

    @rule(worker=WORKERS)
    def write_results(self, worker: int) -> None:
        with self.sessions() as session, writing(session):
            sending.record_results(session, self.reports[worker], self.tick())
        self.reports[worker] = []

    @rule(worker=WORKERS)
    def crash(self, worker: int) -> None:
        """The worker and its unwritten results are gone; so is what it held."""
        self.held[worker] = []
        self.reports[worker] = []

    @rule()
    def sweep(self) -> None:
        """A scheduler takes rows from workers whose lease is over."""
        with self.sessions() as session, writing(session):
            claims.sweep_expired_leases(session, self.tick())

    @rule(data=st.data())
    def tell_an_event(self, data: st.DataObject) -> None:
        assume(self.untold)
        place = data.draw(st.integers(0, len(self.untold) - 1))
        text = self.untold.pop(place)[1]
        self.told.append(text)
        self.store(text)

    @rule()
    def tell_all(self) -> None:
        told = [text for _, text in self.untold]
        self.untold = []
        self.told += told
        for text in told:
            self.store(text)

    @rule(data=st.data())
    def tell_an_event_again(self, data: st.DataObject) -> None:
        assume(self.told)
        self.store(data.draw(st.sampled_from(self.told)))

    def store(self, text: str) -> None:
        with self.sessions() as session, writing(session):
            messages = incoming([text])
            delivery_events.store(session, messages, self.tick())
        self.known |= {event.tags.recipient_id or 0 for event in messages[0].events}

    @rule(
        first=WORKERS,
        stops=st.sampled_from(STOPS),
        then=st.sampled_from(["crashed", *THEN]),
        person=st.booleans(),
    )
    def another_worker_takes_over(
        self, first: int, stops: tuple[str, str], then: str, person: bool
    ) -> None:
        """One stops for longer than lease and grace, or for good; what it does then comes late."""
        second, (at, answer) = 1 - first, stops
        self.claim(first, 1)
        if at != "claimed":
            self.mark(first)
        if at == "called":
            self.call(first, answer)
        if then == "crashed":
            self.crash(first)
        self.time_passes(130.0)
        self.sweep()
        self.silence_is_judged()
        if person:
            self.a_person_sends_again(0)
        self.claim(second, 4)
        if then == "claimed":
            self.tell_all()  # what is known now must stop the second one
        else:
            self.mark(second)
        if then not in ("claimed", "marked"):
            self.call(second, "accepted" if then == "crashed" else then)
        self.mark(first)
        for _ in range(2):  # the first time it missed its slot
            self.call(first, "accepted")
        self.write_results(first)
        if then == "lost":
            self.crash(second)

    @rule()
    def silence_is_judged(self) -> None:
        """A row in doubt, of which SES has nothing to tell when the grace is over, is sent anew."""
        with self.sessions() as session, writing(session):
            over = (session.scalar(select(epoch_now())) or 0.0) - GRACE
            silent = [
                row
                for row in doubt.rows_in_doubt(session, self.campaign_id)
                if row.submitted_at.timestamp() < over and row.attempt_id not in self.accepted
            ]
            doubt.retry_presumed_unsent(session, silent, self.tick())

    @rule(person=st.integers(0, PEOPLE - 1))
    def a_person_sends_again(self, person: int) -> None:
        """In doubt it may arrive twice, as they were told; known to have arrived, it does not."""
        row_id = self.row_ids()[person]
        with self.sessions() as session, writing(session):
            settled = doubt.settle(
                session, self.campaign_id, Decision.AGAIN, self.tick(), "owner@example.com",
                recipient_id=row_id,
            )  # fmt: skip
        if settled.rows:
            self.wanted_again[row_id] = self.wanted_again.get(row_id, 0) + 1

    @rule(person=st.integers(0, PEOPLE - 1))
    def a_person_takes_it_for_sent(self, person: int) -> None:
        row_id = self.row_ids()[person]
        with self.sessions() as session, writing(session):
            settled = doubt.settle(
                session, self.campaign_id, Decision.SENT, self.tick(), "owner@example.com",
                recipient_id=row_id,
            )  # fmt: skip
        if settled.rows:
            self.believed.add(row_id)

    @rule()
    def a_person_retries_what_failed(self) -> None:
        with self.sessions() as session, writing(session):
            try:
                retry.retry_failed(
                    session, self.campaign_id, CODES, self.tick(), "owner@example.com"
                )
            except campaigns.Refused:
                session.rollback()

    @rule(person=st.integers(0, PEOPLE - 1), keep_out=st.booleans())
    def a_person_is_erased(self, person: int, keep_out: bool) -> None:
        """By their right; refused while a mail to them is under way."""
        row_id = self.row_ids()[person]
        if row_id in self.erased:
            return
        with self.sessions() as session, writing(session):
            row = session.get_one(Recipient, row_id)
            contact = Contact(
                email=row.email, address=row.address, address_hash=row.address_hash,
                created_at=START, updated_at=START,
            )  # fmt: skip
            session.add(contact)
            session.flush()
            contact_id = contact.id
        try:
            erasure.erase(self.sessions, contact_id, self.tick(), keep_out=keep_out)
            self.erased.add(row_id)
        except campaigns.Refused:
            with self.sessions() as session, writing(session):
                session.execute(delete(Contact).where(Contact.id == contact_id))

    def stored(self, row_id: int) -> Recipient:
        with self.sessions() as session:
            return session.get_one(Recipient, row_id)

    def row_ids(self) -> list[int]:
        with self.sessions() as session:
            rows = select(Recipient.id).where(Recipient.campaign_id == self.campaign_id)
            return list(session.scalars(rows.order_by(Recipient.id)))

    @rule(deed=st.sampled_from(["pause", "resume", "cancel"]), often=st.integers(0, 3))
    def deed(self, deed: str, often: int) -> None:
        if deed == "cancel" and often:
            return
        with self.sessions() as session, writing(session):
            try:
                if deed == "pause":
                    campaigns.pause(session, self.campaign_id, self.tick(), by="owner@example.com")
                    self.paused_at = self.boot
                elif deed == "resume":
                    campaigns.resume(session, self.campaign_id, self.tick())
                    self.paused_at = None
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
            if not email or email in self.suppressed:
                return
            suppress(session, email)
        self.suppressed[email] = self.boot

    @rule()
    def housekeeping(self) -> None:
        with self.sessions() as session, writing(session):
            lifecycle.note_doubt(session)
            for done in lifecycle.finish_done(session, self.tick()):
                counters = ledger.read_counters(session, done)
                assert counters["pending"] + counters["sending"] + counters["in_doubt"] == 0

    @invariant()
    def nobody_has_it_twice(self) -> None:
        for row_id, copies in getattr(self, "copies", {}).items():
            assert copies <= 1 + self.wanted_again.get(row_id, 0)

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
        for worker in (0, 1):
            self.write_results(worker)
        self.tell_all()
        for text in self.told:
            self.store(text)
        self.time_passes(130.0)
        self.sweep()
        self.silence_is_judged()
        with self.sessions() as session:
            rows = session.scalars(
                select(Recipient).where(Recipient.campaign_id == self.campaign_id)
            ).all()
            for row in rows:
                has_copy = bool(self.copies.get(row.id))
                if row.id in self.erased:
                    assert row.email not in self.accepted
                    continue  # what is told of them now finds no address
                assert (row.status is RecipientStatus.DELIVERED) is has_copy
                assert row.opens == int(has_copy)
                assert row.duplicates == max(0, self.copies.get(row.id, 0) - 1)
            counters = ledger.read_counters(session, self.campaign_id)
        told = [row_id for row_id in self.copies if row_id not in self.erased]
        assert len(told) <= counters["opened"] <= len(self.copies)
        assert len(told) <= counters["delivered"] <= len(self.copies)
        self.the_numbers_are_true_and_nobody_is_lost()


def test_any_interleaving_keeps_the_promises(sessions: sessionmaker[Session]) -> None:
    """The promises are asserted after every step, by the invariants, and at the end of each run."""
    ends: list[int] = []  # copies at the end of each run

    class Machine(Interleavings):
        def teardown(self) -> None:
            super().teardown()
            ends.append(sum(getattr(self, "copies", {}).values()))

    Machine.sessions = sessions
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            phases=[Phase.generate],  # to make a failure shorter takes minutes
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert len(ends) >= 25
    assert any(ends)  # where nothing is ever sent, nothing can arrive twice


@pytest.mark.parametrize("then", ["crashed", *THEN])
@pytest.mark.parametrize(
    ("stops", "person"),
    [(stops, False) for stops in STOPS]
    + [(("called", answer), True) for answer in ("accepted", "lost", "refused")],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else f"person={value}",
)
def test_a_worker_that_stops_anywhere_leaves_nobody_with_two_mails(
    sessions: sessionmaker[Session], stops: tuple[str, str], person: bool, then: str
) -> None:
    """What chance finds too rarely, at every step and with every answer."""
    machine = type("Machine", (Interleavings,), {"sessions": sessions})()
    machine.begin()
    machine.another_worker_takes_over(first=0, stops=stops, then=then, person=person)
    machine.a_person_retries_what_failed()
    machine.turn(worker=1, limit=4, answers=["accepted"] * 4)
    machine.nobody_has_it_twice()
    machine.teardown()
    assert len(machine.copies) <= PEOPLE
    assert all(n == 1 for row, n in machine.copies.items() if row not in machine.wanted_again)

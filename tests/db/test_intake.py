"""Messages that wait at the same time share a commit, and each is answered after it."""

from __future__ import annotations

import json
import threading
import time

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy import select
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from database import writing
from domain.statuses import EventStatus, RecipientStatus
from doors import intake as intake_module
from doors.intake import Intake
from models import DeadLetter, Event, Recipient
from services import delivery_events
from services.dead_letters import try_again
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_sending
from tests.ses_messages import incoming, mail_events


@pytest.fixture
def rows(session, now):
    with writing(session):
        emails = [f"p{n}@example.com" for n in range(40)]
        return add_sending(session, add_campaign(session, now), emails, now)


@pytest.fixture
def intake(sessions, now):
    return Intake(sessions, clock=lambda: now)


def test_forty_callers_share_few_commits_and_find_their_events_stored(
    engine, session, rows, intake, now, monkeypatch
):
    commits = []
    sa_event.listen(engine, "commit", lambda connection: commits.append(1))
    batches = [incoming([mail_events(session, row, now).delivery()]) for row in rows]
    session.rollback()
    missing = []
    first_stores, all_wait = threading.Event(), threading.Event()
    real = delivery_events.store

    def store(session, messages, now):
        first_stores.set()
        all_wait.wait(30)  # the first holds the door until everybody else waits
        return real(session, messages, now)

    def call(batch):
        intake.take(batch)
        with engine.connect() as connection:
            key = batch[0].events[0].key
            if connection.scalar(select(Event.status).where(Event.key == key)) is None:
                missing.append(key)

    monkeypatch.setattr(intake_module, "store", store)
    threads = [threading.Thread(target=call, args=(batch,)) for batch in batches]
    threads[0].start()
    assert first_stores.wait(30)
    for thread in threads[1:]:
        thread.start()
    for _ in range(3000):
        if len(intake._waiting) == len(batches) - 1:
            break
        time.sleep(0.01)
    all_wait.set()
    for thread in threads:
        thread.join(30)
    assert missing == []
    assert len(commits) == 2
    session.rollback()
    assert set(session.scalars(select(Recipient.status))) == {RecipientStatus.DELIVERED}
    assert read_counters(session, rows[0].campaign_id) == recount(session, rows[0].campaign_id)


def test_a_message_that_fails_is_kept_as_dead_and_the_others_are_applied(
    session, rows, intake, now, monkeypatch
):
    bad, *good = [mail_events(session, row, now).delivery() for row in rows[:4]]
    session.rollback()
    poison = incoming([bad])[0].events[0].key
    real = delivery_events.store

    def store(session, messages, now):
        if any(event.key == poison for message in messages for event in message.events):
            raise ValueError("no good")
        return real(session, messages, now)

    monkeypatch.setattr(intake_module, "store", store)
    intake.take(incoming([bad, *good]))
    session.rollback()
    found = session.execute(select(Event.status, Event.verdict)).all()
    assert sorted((status.value, verdict) for status, verdict in found if verdict) == [
        ("dead", "ValueError: no good")
    ]
    assert [status for status, _ in found].count(EventStatus.APPLIED) == 3


def test_trouble_of_the_database_reaches_every_caller(engine, session, rows, intake, now):
    batch = incoming([mail_events(session, rows[0], now).delivery()])
    session.rollback()

    def fail(*arguments):
        raise OperationalError("INSERT", {}, Exception("disk full"))

    sa_event.listen(engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(OperationalError):
            intake.take(batch)
    finally:
        sa_event.remove(engine, "before_cursor_execute", fail)
    intake.take(batch)
    session.rollback()
    assert session.get(Recipient, rows[0].id).status is RecipientStatus.DELIVERED


def test_a_message_that_no_event_row_can_hold_is_kept_as_a_letter(
    session, rows, intake, now, monkeypatch
):
    bad, good = [mail_events(session, row, now).delivery() for row in rows[:2]]
    session.rollback()
    poison = incoming([bad])[0].events[0].key
    real = delivery_events._insert

    def insert(session, values):
        if any(row["key"] == poison for row in values):
            raise DataError("INSERT", {}, Exception("out of range"))
        return real(session, values)

    monkeypatch.setattr(delivery_events, "_insert", insert)
    intake.take(incoming([bad, good]))
    session.rollback()
    letter = session.scalars(select(DeadLetter)).one()
    assert json.loads(letter.body)["mail"]["messageId"] == json.loads(bad)["mail"]["messageId"]
    assert "out of range" in letter.reason
    assert session.scalars(select(Event.status)).all() == [EventStatus.APPLIED]
    monkeypatch.undo()
    with writing(session):
        assert try_again(session, letter.id, now) is None
    assert session.get(Recipient, rows[0].id).status is RecipientStatus.DELIVERED


def test_no_free_connection_is_trouble_and_makes_no_event_dead(session, rows, intake, now):
    batch = incoming([mail_events(session, rows[0], now).delivery()])
    session.rollback()
    sessions = intake._sessions

    def none_free():
        raise NoConnection("QueuePool limit reached")

    intake._sessions = none_free
    with pytest.raises(NoConnection):
        intake.take(batch)
    intake._sessions = sessions
    assert session.scalars(select(Event)).all() == []


def test_whoever_was_not_committed_is_never_told_so(session, rows, intake, now, monkeypatch):
    batch = incoming([mail_events(session, rows[0], now).delivery()])
    session.rollback()

    def end(*arguments):
        raise SystemExit  # as when the process is told to end meanwhile

    monkeypatch.setattr(intake, "_store", end)
    with pytest.raises((RuntimeError, SystemExit)):
        intake.take(batch)

"""The second process beside the poller: when it is there, what it does, how it ends."""

import json
import os
import subprocess
import sys

import pytest
from sqlalchemy import func, select

from aws.clients import AwsClients
from database import writing
from domain.statuses import EventStatus, RecipientStatus
from doors.second_poller import SecondPoller
from models import Event
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_sending
from tests.flow.processes import ROOT, until
from tests.ses_messages import TOPIC, mail_events

IDLE = (sys.executable, "-c", "import time; time.sleep(600)")


class Clock:
    """A clock that is moved by hand."""

    seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def second(environment, clock):
    made = SecondPoller(environment, command=IDLE, clock=clock)
    yield made
    made.stop()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def start(second, clock):
    second.look(backlog=True)
    clock.seconds += 2
    second.look(backlog=True)
    return second.pid


def test_a_burst_starts_no_second_process(second, clock):
    second.look(backlog=True)
    clock.seconds += 1.5
    second.look(backlog=False)
    clock.seconds += 1.5
    second.look(backlog=True)
    clock.seconds += 1.5
    second.look(backlog=True)
    assert second.pid is None


def test_a_backlog_that_lasts_starts_one_process_only(second, clock):
    pid = start(second, clock)
    clock.seconds += 100
    second.look(backlog=True)
    assert pid is not None
    assert second.pid == pid


def test_it_ends_when_there_was_no_backlog_for_a_minute(second, clock):
    pid = start(second, clock)
    clock.seconds += 59
    second.look(backlog=False)
    assert second.pid == pid
    clock.seconds += 1
    second.look(backlog=False)
    assert second.pid is None
    assert gone(pid)


def test_one_that_died_is_replaced_while_the_backlog_lasts(second, clock):
    pid = start(second, clock)
    second._process.kill()
    second._process.wait()
    other = start(second, clock)
    assert other not in (None, pid)


def test_a_program_that_cannot_be_started_is_no_error(clock):
    second = SecondPoller(command=["/nowhere/at-all"], clock=clock)
    assert start(second, clock) is None


def test_it_works_off_the_queue_and_ends_in_order(
    environment, simulator, settings, session, sessions, now, clock
):
    with writing(session):
        emails = [f"p{n}@example.com" for n in range(25)]
        rows = add_sending(session, add_campaign(session, now), emails, now)
        campaign = rows[0].campaign_id
    clients = AwsClients(settings)
    for row in rows:
        events = mail_events(session, row, now)
        for text in (events.send(), events.delivery()):
            envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": TOPIC}
            body = json.dumps({**envelope, "Message": text})
            clients.sqs.send_message(QueueUrl=settings.sqs_queue_url, MessageBody=body)

    def applied():
        with sessions() as fresh:
            query = select(func.count()).where(Event.status == EventStatus.APPLIED)
            return fresh.scalar(query)

    second = SecondPoller(environment, clock=clock)
    try:
        pid = start(second, clock)
        until(lambda: applied() == 50, "all events are applied")
    finally:
        process = second._process
        second.stop()
    assert gone(pid)
    assert process
    assert process.returncode == 0
    with sessions() as fresh:
        counters = read_counters(fresh, campaign)
        assert counters == recount(fresh, campaign)
    assert counters[RecipientStatus.DELIVERED] == 25


def test_it_ends_by_itself_when_its_parent_is_gone(environment, simulator):
    done = subprocess.run(
        [sys.executable, "-m", "doors.poller_child", "0"],  # not the parent that it has
        cwd=ROOT, env={**os.environ, **environment}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0

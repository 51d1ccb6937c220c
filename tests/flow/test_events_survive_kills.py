"""Kill -9 while three thousand events come in, through either door: nothing is lost, nothing
counts twice, and every counter equals a recount.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from config import Settings
from database import writing
from domain.statuses import EventStatus, RecipientStatus
from models import Event, Recipient, Suppression
from ses_simulator.queues import Message, Queue, Text
from sns_handler import EventApplier
from tests.factories import add_campaign, add_sending
from tests.flow.processes import status_of, until
from tests.flow.schedulers import ROOT, assert_counters_true, schedulers_of, wait_for
from tests.ports import free_port
from tests.ses_messages import TOPIC, mail_events
from tests.sns_signing import CERTIFICATE_NAME, Signer, body

MAILS = 1000
EVENTS = 3 * MAILS
BOUNCES = MAILS // 10
KILLS = 3


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The proof is about processes: one kind of database is enough."""
    return sqlite_url


@pytest.fixture
def campaign_id(session: Session) -> int:
    """A campaign whose mails are all submitted."""
    now = datetime.now(UTC)
    with writing(session):
        campaign = add_campaign(session, now)
        add_sending(session, campaign, [f"p{n}@example.com" for n in range(MAILS)], now)
        return campaign.id


@pytest.fixture
def texts(session: Session, campaign_id: int) -> list[str]:
    """Three events of every mail in any order, and every twentieth of them twice."""
    found: list[str] = []
    for number, row in enumerate(session.scalars(select(Recipient).order_by(Recipient.id))):
        mail = mail_events(session, row, datetime.now(UTC))
        if number % 10 == 0:
            found += [mail.send(), mail.delay(), mail.bounce()]
        else:
            found += [mail.send(), mail.delivery(), mail.opened()]
    found += found[::20]
    random.Random(7).shuffle(found)
    return found


def stored(sessions: sessionmaker[Session], status: EventStatus | None = None) -> int:
    with sessions() as session:
        query = select(func.count()).select_from(Event)
        return session.scalar(query.where(Event.status == status) if status else query) or 0


def has_stored(sessions: sessionmaker[Session], goal: int) -> bool:
    return stored(sessions) >= goal


def assert_all_counted_once(sessions: sessionmaker[Session], campaign_id: int) -> None:
    assert_counters_true(sessions, campaign_id)
    with sessions() as session:
        assert Counter(session.scalars(select(Event.status))) == {EventStatus.APPLIED: EVENTS}
        assert Counter(session.scalars(select(Recipient.status))) == {
            RecipientStatus.BOUNCED: BOUNCES,
            RecipientStatus.DELIVERED: MAILS - BOUNCES,
        }
        assert Counter(session.scalars(select(Recipient.opens))) == {0: BOUNCES, 1: MAILS - BOUNCES}
        assert session.scalar(select(func.count()).select_from(Suppression)) == BOUNCES


def end_visibility_timeouts(simulator: Any, queue: Queue) -> int:
    """Half a minute later: what a dead poller had received comes again. How much that was."""

    def show_again() -> int:
        held = list(queue._in_flight.values())
        return sum(queue.change_visibility(message.receipt, 0) for message in held)

    return int(simulator.call(show_again))


@pytest.mark.slow
def test_killed_schedulers_lose_and_repeat_no_event_of_the_queue(
    simulator: Any,
    environment: dict[str, str],
    sessions: sessionmaker[Session],
    campaign_id: int,
    texts: list[str],
    tmp_path: Path,
) -> None:
    def put_all() -> Queue:
        queue: Queue
        (queue,) = (
            queue
            for queue in simulator.world.region("us-east-1").queues.values()
            if simulator.queue_url.endswith(f"/{queue.name}")
        )
        for text in texts:
            notification = {"Type": "Notification", "TopicArn": TOPIC, "Message": text}
            queue.send(Message(Text(json.dumps(notification)), time.time()))
        return queue

    queue = simulator.call(put_all)
    dice = random.Random(3)
    interrupted = 0
    with schedulers_of(environment, tmp_path) as schedulers:
        for number in range(KILLS):
            victim = schedulers.start()
            goal = (number + 1) * EVENTS // (KILLS + 2)
            wait_for(partial(has_stored, sessions, goal), pause=0.002)
            time.sleep(dice.uniform(0.0, 0.03))
            victim.kill()
            interrupted += end_visibility_timeouts(simulator, queue) > 0
        assert interrupted, "every kill came when the poller had nothing in hand"
        assert stored(sessions) < EVENTS
        schedulers.start()
        wait_for(lambda: simulator.call(queue.counts) == (0, 0, 0), pause=0.05)
    assert_all_counted_once(sessions, campaign_id)


class Gunicorn:
    """The web application under gunicorn; its workers can be killed."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "app:create_app()"],
                cwd=ROOT,
                env={**os.environ, **environment, "PORT": str(self.port), "WEB_CONCURRENCY": "2"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def workers(self) -> list[int]:
        """The processes that answer."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                is_gunicorn = b"gunicorn" in (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it ended meanwhile
            if int(parent) == self.process.pid and is_gunicorn:
                found.append(int(folder.name))
        return found

    def end(self) -> None:
        """In order, or by force."""
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def gunicorn(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple[Gunicorn, Signer]]:
    """Two workers, which store at least some events without applying them."""
    signer = Signer()
    (tmp_path / CERTIFICATE_NAME).write_bytes(signer.pem)
    more = {"SNS_CERT_DIR": str(tmp_path), "NOTIFICATIONS_PER_SECOND": "5"}
    server = Gunicorn(environment | more, tmp_path / "gunicorn.log")
    try:
        until(lambda: status_of(f"http://127.0.0.1:{server.port}/healthz") == 200, "it is up")
        yield server, signer
    finally:
        server.end()


def post_as_sns_does(
    port: int, bodies: SimpleQueue[bytes], answered: Callable[[bool], None]
) -> None:
    """Post until nothing is left; what was not answered with 200 is posted again later."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        while True:
            try:
                message = bodies.get_nowait()
            except Empty:
                return
            try:
                connection.request("POST", "/sns-notifications", message)
                answer = connection.getresponse()
                answer.read()
                taken = answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                taken = False
                time.sleep(0.02)
            answered(taken)
            if not taken:
                bodies.put(message)


@pytest.mark.slow
def test_killed_web_workers_lose_and_repeat_no_event_of_the_webhook(
    simulator: Any,
    gunicorn: tuple[Gunicorn, Signer],
    environment: dict[str, str],
    sessions: sessionmaker[Session],
    campaign_id: int,
    texts: list[str],
) -> None:
    server, signer = gunicorn
    bodies: SimpleQueue[bytes] = SimpleQueue()
    for text in texts:
        bodies.put(body(signer.message(text)))
    answers: list[bool] = []
    threads = [
        threading.Thread(target=post_as_sns_does, args=(server.port, bodies, answers.append))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    dice = random.Random(5)
    for number in range(KILLS):
        goal = (number + 1) * EVENTS // (KILLS + 2)
        wait_for(partial(has_stored, sessions, goal), pause=0.002)
        wait_for(lambda: len(server.workers()) == 2)
        os.kill(dice.choice(server.workers()), signal.SIGKILL)
    for thread in threads:
        thread.join(200)
    assert answers.count(True) == len(texts)
    assert answers.count(False) > 0, "no kill cut off a post"
    waiting = stored(sessions, EventStatus.NEW)
    assert 0 < waiting < EVENTS
    applier = EventApplier(Settings.from_env(environment), sessions)
    while applier.apply_waiting():
        pass
    assert_all_counted_once(sessions, campaign_id)

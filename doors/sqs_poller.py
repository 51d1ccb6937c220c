"""Takes SES events from the SQS queue: receive, store and apply, commit, and only then delete.

Only SES events and set-up messages from our topics are deleted. Other programs' messages stay;
so do the events of another installation on a queue that is not ours.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients, why_not
from aws.queue_calls import MOST_MESSAGES, QueueCalls
from aws.topology import read_queue
from config import Settings
from database import writing
from doors.intake import Intake, utc_now
from doors.queue_messages import Kind, QueueMessage, read_message
from doors.queue_owner import QueueOwner, StrangerWatch
from doors.second_poller import SecondPoller
from services.dead_letters import keep_dead_letter
from services.delivery_events import Incoming
from services.installation import installation_id
from services.notices import clear_notice, raise_notice

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

VISIBILITY_SECONDS = 30
LONG_POLL_SECONDS = 20
#: All but one rest while there is no backlog.
DEFAULT_THREADS = 4
#: While there is one, a thread brings this many messages to the common commit.
_MOST_IN_HAND = 100
_RESTING_SECONDS = 1.0
_CARE_EVERY_SECONDS = 60.0
_AFTER_TROUBLE_SECONDS = 5.0
_JOIN_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 1.0
#: For gc.set_threshold: a batch holds some 20,000 objects, all of which go at its end.
COLLECT_AFTER = (25_000, 20, 50)
#: One round over the dead-letter queue stops here; the rest comes in the next.
_DEAD_LETTER_BATCHES = 100

FOREIGN_NOTICE = "queue-other-installation"
STRANGERS_NOTICE = "queue-other-programs"
TROUBLE_NOTICE = "queue-unreadable"
DEAD_LETTERS_NOTICE = "queue-dead-letters"


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Messages in the queue, by SQS's approximate count."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def empty(self) -> bool:
        """Whether nothing is in it in any form."""
        return self.visible == self.in_flight == self.delayed == 0


class SqsPoller:
    """Polls one queue and its dead-letter queue with several threads."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        clients: AwsClients,
        *,
        threads: int = DEFAULT_THREADS,
        long_poll_seconds: int = LONG_POLL_SECONDS,
        clock: Callable[[], datetime] = utc_now,
        second: SecondPoller | None = None,
        looks_after: bool = True,
    ) -> None:
        """`second` helps with a backlog; `looks_after` the queue, its owner and dead letters."""
        self._settings = settings
        self._sessions = sessions
        self._clients = clients
        self._threads = threads
        self._long_poll_seconds = long_poll_seconds
        self._clock = clock
        self._second = second
        self._looks_after = looks_after
        self._intake = Intake(sessions, clock)
        self._owner: QueueOwner | None = None
        self._strangers = StrangerWatch(clock)
        self._stopping = threading.Event()
        self._backlog = threading.Event()

    @property
    def queue_url(self) -> str:
        """The queue; "" = there is none and nothing is polled."""
        return self._settings.sqs_queue_url

    @property
    def stopped_because(self) -> str | None:
        """Why the poller takes nothing at present, in a sentence."""
        stopped = self._owner.stopped_because if self._owner else None
        return stopped or self._strangers.paused_because

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set. A receive under way is abandoned: its messages come again."""
        self._stopping = stop
        if not self.queue_url:
            stop.wait()
            return
        threads = [
            threading.Thread(target=self._work, args=(number,), name=f"sqs-{number}", daemon=True)
            for number in range(self._threads)
        ]
        if self._looks_after:
            threads.append(threading.Thread(target=self._look_after, name="sqs-care", daemon=True))
        for thread in threads:
            thread.start()
        while not stop.wait(_LOOK_EVERY_SECONDS):
            if self._second is not None:
                behind = self._backlog.is_set() and self.stopped_because is None
                self._second.look(backlog=behind)
        if self._second is not None:
            self._second.stop()
        for thread in threads:
            thread.join(_JOIN_SECONDS / len(threads))

    def poll_once(self, wait_seconds: int = 0) -> int:
        """Receive one batch and work it off; how many messages were received.

        Raises SQLAlchemyError or botocore's errors: nothing was deleted then.
        """
        self._check_database()
        if not self._may_poll():
            return 0
        return self._take(self._receive(self.queue_url, wait_seconds), self.queue_url)

    def poll_dead_letters(self) -> int:
        """Work off the queue's dead-letter queue; how many messages were received."""
        self._check_database()
        dead_url = read_queue(self._sqs, self.queue_url).dead_letter_url
        if dead_url is None or not self._may_poll():
            return 0
        total = 0
        for _ in range(_DEAD_LETTER_BATCHES):
            received = self._take(self._receive(dead_url, 0), dead_url)
            total += received
            if not received:
                break
        facts = read_queue(self._sqs, dead_url)
        left = (facts.visible or 0) + (facts.in_flight or 0)  # those just received are hidden
        self._notice_if(
            DEAD_LETTERS_NOTICE,
            "warn",
            f"{left} messages in the dead-letter queue are no SES events of ours." if left else "",
        )
        return total

    def queue_is_empty(self) -> QueueDepth | None:
        """How much the queue holds; None if it cannot be read."""
        facts = read_queue(self._sqs, self.queue_url)
        if facts.error is not None:
            return None
        return QueueDepth(facts.visible or 0, facts.in_flight or 0, facts.delayed or 0)

    @property
    def _sqs(self) -> SQSClient:
        return self._clients.sqs

    @cached_property
    def _calls(self) -> QueueCalls:
        return self._clients.queue_calls()

    def _work(self, number: int) -> None:
        while not self._stopping.is_set():
            if number and not self._backlog.wait(_RESTING_SECONDS):
                continue
            try:
                self._check_database()
                if not self._may_poll():
                    self._stopping.wait(_AFTER_TROUBLE_SECONDS)
                    continue
                messages = self._receive(self.queue_url, self._long_poll_seconds)
                while self._backlog.is_set() and 0 < len(messages) < _MOST_IN_HAND:
                    messages += self._receive(self.queue_url, 0)
                if not self._stopping.is_set():
                    self._take(messages, self.queue_url)
            except SQLAlchemyError as error:
                logger.warning("the queue waits for the database: %s", type(error).__name__)
                self._stopping.wait(_AFTER_TROUBLE_SECONDS)
            except (ClientError, BotoCoreError) as error:
                logger.warning("the queue cannot be read: %s", why_not(error))
                self._stopping.wait(_AFTER_TROUBLE_SECONDS)
            except Exception:
                logger.exception("polling the queue failed; it is tried again")
                self._stopping.wait(_AFTER_TROUBLE_SECONDS)

    def _look_after(self) -> None:
        """Now and then: whose queue it is, whether it can be read, and its dead letters."""
        while not self._stopping.is_set():
            try:
                facts = read_queue(self._sqs, self.queue_url)
                self._notice_if(TROUBLE_NOTICE, "fail", self._trouble(facts.error))
                if self._owner is not None:
                    self._owner.check()
                    self._notice_if(FOREIGN_NOTICE, "fail", self._owner.stopped_because or "")
                self._notice_if(STRANGERS_NOTICE, "warn", self._strangers.paused_because or "")
                self.poll_dead_letters()
            except (SQLAlchemyError, ClientError, BotoCoreError) as error:
                logger.warning("looking after the queue failed: %s", type(error).__name__)
            except Exception:
                logger.exception("looking after the queue failed; it is tried again")
            self._stopping.wait(_CARE_EVERY_SECONDS)

    def _trouble(self, error: str | None) -> str:
        if error is None:
            return ""
        return (
            f"The event queue cannot be read: {error} Check SQS_QUEUE_URL, the region and the "
            "rights (sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes)."
        )

    def _check_database(self) -> None:
        """Before a receive: messages taken while the database is down would only be held up."""
        with self._sessions() as session:
            session.execute(text("SELECT 1"))

    def _may_poll(self) -> bool:
        if self._owner is None:
            with self._sessions() as session:
                install = installation_id(session)
            owner = QueueOwner(self._sqs, self.queue_url, install)
            owner.check()
            self._owner = owner
            self._notice_if(FOREIGN_NOTICE, "fail", owner.stopped_because or "")
        return self.stopped_because is None

    def _receive(self, url: str, wait_seconds: int) -> list[Any]:
        messages = self._calls.receive(url, wait_seconds, VISIBILITY_SECONDS)
        if len(messages) == MOST_MESSAGES:
            self._backlog.set()
        elif not messages:
            self._backlog.clear()
        return messages

    def _take(self, received: list[Any], url: str) -> int:
        """Store what is ours, then delete it; the rest stays in the queue."""
        owner = self._owner
        if owner is None or not received:
            return 0
        messages = [self._read(one, owner) for one in received]
        from_main = url == self.queue_url
        ours = [message for message in messages if self._is_ours(message, owner, from_main)]
        events = [
            Incoming.of(m.text, m.events, "sqs", payload=m.payload)
            for m in ours
            if m.kind is Kind.EVENTS
        ]
        if events:
            self._intake.take(events)
        self._keep_broken([message for message in ours if message.kind is Kind.BROKEN])
        if ours:
            self._delete(ours, url)
        return len(received)

    def _read(self, received: Any, owner: QueueOwner) -> QueueMessage:
        """A message, read; one that cannot be must not hold up those that came with it."""
        try:
            return read_message(received, self._settings.sns_topic_arn, owner.install)
        except Exception as error:
            logger.exception("a message of the queue cannot be read")
            sentence = f"It could not be read: {type(error).__name__}: {error}"[:500]
            return QueueMessage(
                received["MessageId"], received["ReceiptHandle"], Kind.BROKEN,
                str(received.get("Body", "")), sentence=sentence,
            )  # fmt: skip

    def _is_ours(self, message: QueueMessage, owner: QueueOwner, from_main: bool) -> bool:
        """Whether a message may be deleted; what may not is noted.

        Strangers in the dead-letter queue lie there for days: they say nothing about the queue.
        """
        if message.kind is Kind.FOREIGN:
            if not from_main:
                return False
            self._strangers.saw(message.message_id)
            if self._strangers.paused_because:
                self._notice_if(STRANGERS_NOTICE, "warn", self._strangers.paused_because)
            return False
        if message.kind is Kind.OTHER_INSTALLATION and not owner.is_ours:
            owner.stop_for_other_installation()
            self._notice_if(FOREIGN_NOTICE, "fail", owner.stopped_because or "")
            return False
        return True

    def _keep_broken(self, messages: list[QueueMessage]) -> None:
        if not messages:
            return
        with self._sessions() as session, writing(session):
            for message in messages:
                keep_dead_letter(session, "sqs", message.text, message.sentence, self._clock())

    def _delete(self, messages: list[QueueMessage], url: str) -> None:
        receipts = [message.receipt for message in messages]
        for start in range(0, len(receipts), MOST_MESSAGES):
            for code in self._calls.delete(url, receipts[start : start + MOST_MESSAGES]):
                # It comes again and is a duplicate then.
                logger.info("a message was not deleted: %s", code)

    def _notice_if(self, code: str, severity: str, sentence: str) -> None:
        with self._sessions() as session, writing(session):
            if sentence:
                raise_notice(session, code, severity, sentence, self._clock())
            else:
                clear_notice(session, code)

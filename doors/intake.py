"""Storing what came through a door: messages that wait at the same time share one commit.

A commit to disk costs milliseconds, so one per message would be the limit of the whole door.
Whoever waits is answered only after the commit that carries its messages.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from services.dead_letters import keep_dead_letter
from services.delivery_events import Incoming, store, store_dead

logger = logging.getLogger(__name__)
#: Messages in one transaction: enough to make the commit cheap, few enough to stay short.
MOST_AT_ONCE = 200
#: What says that the database cannot take anything at present; any other error is the message's
#: own fault, and trying it again would hold up all that come with it.
TROUBLE = (OperationalError, InterfaceError, InternalError, NoConnection, OSError)


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


class _Ticket:
    """Messages of one caller, who waits for `turn`: to be done, or to commit for all that wait."""

    __slots__ = ("done", "error", "messages", "turn")

    def __init__(self, messages: Sequence[Incoming]) -> None:
        self.messages = messages
        self.done = False
        # Nobody is answered as if all were well unless the commit has said so.
        self.error: Exception | None = RuntimeError("the messages were not committed")
        self.turn = threading.Lock()
        self.turn.acquire()


class Intake:
    """Stores and applies messages for all threads of a process."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        clock: Callable[[], datetime] = utc_now,
        *,
        gather_seconds: float = 0.0,
    ) -> None:
        """`gather_seconds` is how long whoever commits waits for messages to join."""
        self._sessions = sessions
        self._clock = clock
        self._gather_seconds = gather_seconds
        self._waiting: deque[_Ticket] = deque()
        self._guard = threading.Lock()
        self._led = False  # whether a thread commits at present

    def take(self, messages: Sequence[Incoming]) -> None:
        """Return once the messages are committed; raises if the database could not take them."""
        ticket = _Ticket(messages)
        with self._guard:
            self._waiting.append(ticket)
            led, self._led = self._led, True
        if led:
            ticket.turn.acquire()
        if not ticket.done:
            self._lead()
        if ticket.error is not None:
            raise ticket.error

    def _lead(self) -> None:
        """Commit for all that wait, then let the first of those who came meanwhile lead.

        Each is woken by name: threads that queue for one lock would wake one after the other,
        and each of them first has to get hold of the interpreter.
        """
        batch: list[_Ticket] = []
        try:
            time.sleep(self._gather_seconds)
            batch = self._next_batch()
            self._commit(batch)
        finally:
            with self._guard:
                heir = self._waiting[0] if self._waiting else None
                self._led = heir is not None
            if heir is not None:
                heir.turn.release()
            for ticket in batch:
                ticket.turn.release()

    def _next_batch(self) -> list[_Ticket]:
        batch: list[_Ticket] = []
        size = 0
        while self._waiting and (not batch or size < MOST_AT_ONCE):
            batch.append(self._waiting.popleft())
            size += len(batch[-1].messages)
        return batch

    def _commit(self, batch: list[_Ticket]) -> None:
        try:
            self._store_together([m for ticket in batch for m in ticket.messages])
            for ticket in batch:
                ticket.error = None
        except TROUBLE as error:
            for ticket in batch:
                ticket.error = error
        except Exception:
            logger.exception("a batch of events failed, trying them one by one")
            for ticket in batch:
                ticket.error = self._store_singly(ticket.messages)
        finally:
            for ticket in batch:
                ticket.done = True

    def _store_together(self, messages: list[Incoming]) -> None:
        try:
            self._store(messages)
        except OperationalError:
            # A deadlock or a lost connection is over at the second try; the rest is real.
            self._store(messages)

    def _store(self, messages: list[Incoming]) -> None:
        with self._sessions() as session, writing(session):
            store(session, messages, self._clock())

    def _store_singly(self, messages: Sequence[Incoming]) -> Exception | None:
        """Find the message that fails and keep it as dead, so that the others go on."""
        problem: Exception | None = None
        for message in messages:
            try:
                self._store([message])
            except TROUBLE as error:
                problem = error
            except Exception as error:
                logger.exception("an event cannot be applied")
                reason = f"{type(error).__name__}: {error}"[:500]
                problem = self._keep_dead(message, reason) or problem
        return problem

    def _keep_dead(self, message: Incoming, reason: str) -> Exception | None:
        """Keep it as a dead event, or where not even that works, as the text it came as."""
        try:
            with self._sessions() as session, writing(session):
                store_dead(session, message, reason, self._clock())
            return None
        except TROUBLE as error:
            return error
        except Exception:
            logger.exception("an event cannot be kept as one either")
        try:
            with self._sessions() as session, writing(session):
                keep_dead_letter(session, message.door, message.text, reason, self._clock())
            return None
        except Exception as error:
            logger.exception("a message cannot be kept at all")
            return error

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
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from services.delivery_events import Incoming, store, store_dead

logger = logging.getLogger(__name__)
#: Messages in one transaction: enough to make the commit cheap, few enough to stay short.
MOST_AT_ONCE = 200


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


@dataclass(slots=True, eq=False)
class _Ticket:
    """Messages of one caller, and how their commit went."""

    messages: Sequence[Incoming]
    done: bool = False
    error: Exception | None = None


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
        self._leading = threading.Lock()

    def take(self, messages: Sequence[Incoming]) -> None:
        """Return once the messages are committed; raises if the database could not take them."""
        ticket = _Ticket(messages)
        self._waiting.append(ticket)
        while not ticket.done:
            # Whoever gets the lock commits for all that wait; most find their work done then.
            with self._leading:
                if not ticket.done:
                    time.sleep(self._gather_seconds)
                    self._commit(self._next_batch())
        if ticket.error is not None:
            raise ticket.error

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
        except (OperationalError, InterfaceError) as error:
            for ticket in batch:
                ticket.error = error
        except Exception:
            logger.exception("a batch of events failed, trying them one by one")
            for ticket in batch:
                self._store_singly(ticket)
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

    def _store_singly(self, ticket: _Ticket) -> None:
        """Find the message that fails and keep it as dead, so that the others go on."""
        for message in ticket.messages:
            try:
                self._store([message])
            except (OperationalError, InterfaceError) as error:
                ticket.error = error
            except Exception as error:
                logger.exception("an event cannot be applied")
                self._keep_dead(ticket, message, f"{type(error).__name__}: {error}"[:500])

    def _keep_dead(self, ticket: _Ticket, message: Incoming, reason: str) -> None:
        try:
            with self._sessions() as session, writing(session):
                store_dead(session, message, reason, self._clock())
        except Exception as error:
            logger.exception("an event cannot be kept either")
            ticket.error = error

"""The threads that hold mails until their slot and hand them to SES.

Last of all before the first byte, a mail goes back untouched if its slot was missed, if what
was checked of its row is too old, if its lease leaves no room for a call, or on stopping.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from queue import SimpleQueue

from domain import pacing
from domain.outgoing import OutgoingEmail
from domain.send_outcomes import Outcome, SendResult
from email_service import EmailService
from sender.clocks import boottime
from sender.mails import CannotMake, MailMaker
from services.claims import ClaimedRow
from services.sending import Report

logger = logging.getLogger(__name__)

#: A row's suppression and pause check counts this long (seconds, DESIGN "Fencing").
CHECK_SECONDS = 2.0
MOST_THREADS = 256
#: Threads for the shared rate at this much time per mail; more come when they are all busy.
_USUAL_SECONDS = 0.15


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed row with its slot. Times are of the clock `boottime`."""

    row: ClaimedRow
    due: float
    submit_until: float  # the fence: time-out and 5 s before the lease is over
    checked_at: float
    rate: float
    misses: int = 0


def given_back(code: str, sentence: str) -> SendResult:
    """The result of a mail that never left this process."""
    return SendResult(Outcome.NOT_SUBMITTED, code=code, reason=sentence)


class SenderPool:
    """Takes work in slot order; fills `reports` and `missed` for the ledger loop."""

    def __init__(
        self,
        service: EmailService,
        maker: MailMaker,
        *,
        clock: Callable[[], float] = boottime,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.reports: deque[Report] = deque()
        self.missed: deque[Work] = deque()
        #: Mails in a row that missed their slot and found no other in time.
        self.in_vain = 0
        #: What a call takes at present (seconds, a moving mean).
        self.call_seconds = 0.1
        self._service = service
        self._maker = maker
        self._clock = clock
        self._sleep = sleep
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._more = 0

    def put(self, works: list[Work]) -> None:
        """Hand over works in the order of their slots; starts threads as they are needed."""
        if not works:
            return
        self._grow(int(works[0].rate * _USUAL_SECONDS) + 4 + self._more)
        for work in works:
            self._queue.put(work)

    def _grow(self, wanted: int) -> None:
        while len(self._threads) < min(wanted, MOST_THREADS):
            thread = threading.Thread(target=self._run, name=f"send-{len(self._threads)}")
            thread.daemon = True
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Give back all that is not at SES yet; calls in flight go on."""
        self._stopping.set()
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while True:
            work = self._queue.get()
            if work is None:
                return
            try:
                self._handle(work)
            except Exception:
                logger.exception("a sending thread failed at recipient %s", work.row.id)
                # Nothing says how far it came: only an event can tell.
                sentence = "The sender met an error of its own; whether the mail left is unknown."
                self._report(work, SendResult(Outcome.UNKNOWN, code="error", reason=sentence))

    def _handle(self, work: Work) -> None:
        if self._stopping.is_set():
            self._report(work, given_back("stopping", "The sender was stopping."))
            return
        mail = self._make(work)
        if mail is None:
            return
        if work.due < self._clock() and self._more < MOST_THREADS and not work.misses:
            self._more += 1  # it was pulled after its time: all threads are busy
        self._submit(work, mail)

    def _make(self, work: Work) -> OutgoingEmail | None:
        try:
            return self._maker.make(work.row)
        except CannotMake as problem:
            sentence = str(problem)
        except Exception as error:
            logger.exception("no mail could be made for recipient %s", work.row.id)
            sentence = f"The mail could not be made: {type(error).__name__}: {error}"
        self._report(work, SendResult(Outcome.REFUSED, code="template", reason=sentence[:500]))
        return None

    def _submit(self, work: Work, mail: OutgoingEmail) -> None:
        """Call SES; the wait for the slot comes last before the first byte.

        By then the mail is made and signed and the connection stands, so that what arrives is
        as even as the slots are.
        """
        late = False
        began = 0.0

        def wait_and_look() -> bool:
            nonlocal late, began
            self._sleep(max(0.0, work.due - self._clock()))
            now = began = self._clock()
            misses = max(work.misses, self.in_vain)
            late = now - work.due > pacing.lateness_allowed(work.rate, misses)
            return not late and self._is_fit(work, now)

        result = self._service.send(mail, wait_and_look)
        if late:
            self.missed.append(replace(work, misses=work.misses + 1))
        else:
            self.in_vain = 0
            if began:
                self.call_seconds += 0.05 * (self._clock() - began - self.call_seconds)
            self._report(work, result)

    def _is_fit(self, work: Work, now: float) -> bool:
        """The fence against suspend, the age of the row's check, and stopping."""
        return (
            now <= work.submit_until
            and now - work.checked_at <= CHECK_SECONDS
            and not self._stopping.is_set()
        )

    def _report(self, work: Work, result: SendResult) -> None:
        self.reports.append(Report(work.row, result, datetime.now(UTC)))

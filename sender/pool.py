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
from datetime import UTC, datetime
from itertools import groupby
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

from aws.ses_calls import TIMEOUT_SECONDS
from domain import bulk_pacing, pacing
from domain.bulk_template import batches, fits
from domain.send_outcomes import Outcome, SendResult
from email_service import BULK_REFUSED, BULK_THROTTLED, EmailService
from sender.clocks import boottime
from sender.mails import CannotMake, MailMaker
from services.claims import ClaimedRow
from services.sending import Report

logger = logging.getLogger(__name__)
Made = TypeVar("Made")

#: A row's suppression and pause check counts this long (seconds, DESIGN "Fencing").
CHECK_SECONDS = 2.0
#: This much of the lease stays free behind the longest call (seconds, DESIGN "Fencing").
SPARE_SECONDS = 5.0
MOST_THREADS = 256
#: Threads for the shared rate at this much time per mail; more come when they are all busy.
_USUAL_SECONDS = 0.15


class Work(NamedTuple):
    """A claimed row with its slot. Times are of the clock `boottime`."""

    row: ClaimedRow
    due: float
    submit_until: float  # the fence: time-out and 5 s before the lease is over
    checked_at: float
    rate: float
    misses: int = 0
    spare: float = 0.0  # its later slots: it may leave so much after `due` as well
    call: int = 0  # works of one bulk call have its number, and one `due`; 0 = by itself


def last_submission(claimed_at: float, lease_seconds: float) -> float:
    """Until when a row may be handed to SES; `claimed_at` is before the claim's commit.

    Both by `boottime`, which runs through suspend: when the lease is over, and others may decide
    about the row, the longest call of this process has ended.
    """
    return claimed_at + lease_seconds - TIMEOUT_SECONDS - SPARE_SECONDS


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
        #: For each bulk call that was answered, whether it was one too many.
        self.calls: deque[bool] = deque()
        #: Campaigns that SES does not take in bulk, with its words.
        self.refused_in_bulk: dict[int, str] = {}
        #: What a call takes at present (seconds, a moving mean).
        self.call_seconds = 0.1
        self._service = service
        self._maker = maker
        self._clock = clock
        self._sleep = sleep
        self._queue: SimpleQueue[list[Work] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._own = threading.local()  # `left`: a call's works that have no outcome yet
        self._more = 0

    def put(self, works: list[Work]) -> None:
        """Hand over works in the order of their slots; starts threads as they are needed."""
        if not works:
            return
        calls = [list(call) for _, call in groupby(works, lambda w: (w.call, w.call or w.row.id))]
        needed = works[0].rate * _USUAL_SECONDS * len(calls) / len(works)
        for call in calls:
            self._queue.put(call)
        self._grow(int(needed) + 4 + self._more)

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
            works = self._queue.get()
            if works is None:
                return
            try:
                self._handle(works)
            except Exception:
                logger.exception("a sending thread failed at recipient %s", works[0].row.id)
                # Nothing says how far it came: only an event can tell.
                sentence = "The sender met an error of its own; whether the mail left is unknown."
                unknown = SendResult(Outcome.UNKNOWN, code="error", reason=sentence)
                for work in list(self._own.left.values()):
                    self._report(work, unknown)

    def _handle(self, works: list[Work]) -> None:
        self._own.left = {work.row.id: work for work in works}
        first = works[0]
        if self._stopping.is_set():
            for work in works:
                self._report(work, given_back("stopping", "The sender was stopping."))
            return
        if first.call:
            self._handle_call(works)
            return
        mail = self._make(first, self._maker.make)
        if mail is not None:
            self._note_pulled(first)
            self._submit(works, lambda guard: [self._service.send(mail, guard)])

    def _handle_call(self, works: list[Work]) -> None:
        """One bulk call; rows that do not fit in get another slot and go out singly."""
        campaign = self._maker.mail_of(works[0].row.campaign_id)
        template = campaign.template
        made = [(work, self._make(work, self._maker.make_entry)) for work in works]
        entries = [(work, entry) for work, entry in made if entry is not None]
        if template is None or not entries:
            return
        fitting = [(work, entry) for work, entry in entries if fits(template, entry)]
        mails = next(batches(template, [entry for _, entry in fitting]), [])
        carried = [work for work, _ in fitting[: len(mails)]]
        ids = {work.row.id for work in carried}
        self._miss([work for work, _ in entries if work.row.id not in ids])
        if not carried:
            return
        self._note_pulled(carried[0])
        self._submit(
            carried,
            lambda guard: self._service.send_bulk(
                template, campaign.sender, mails, campaign.configuration_set, guard
            ),
        )

    def _make(self, work: Work, make: Callable[[ClaimedRow], Made]) -> Made | None:
        try:
            return make(work.row)
        except CannotMake as problem:
            sentence = str(problem)
        except Exception as error:
            logger.exception("no mail could be made for recipient %s", work.row.id)
            sentence = f"The mail could not be made: {type(error).__name__}: {error}"
        self._report(work, SendResult(Outcome.REFUSED, code="template", reason=sentence[:500]))
        return None

    def _note_pulled(self, work: Work) -> None:
        if work.due < self._clock() and self._more < MOST_THREADS and not work.misses:
            self._more += 1  # it was pulled after its time: all threads are busy

    def _submit(
        self, works: list[Work], send: Callable[[Callable[[], bool]], list[SendResult]]
    ) -> None:
        """Call SES; the wait for the slot comes last before the first byte.

        By then the mail is made and signed and the connection stands, so that what arrives is
        as even as the slots are.
        """
        first = works[0]
        late = False
        began = 0.0

        def wait_and_look() -> bool:
            nonlocal late, began
            self._sleep(max(0.0, first.due - self._clock()))
            now = began = self._clock()
            late = now - first.due > self._lateness_allowed(works)
            return not late and all(self._is_fit(work, now) for work in works)

        results = send(wait_and_look)
        if late:
            self._miss(works)
            return
        if began:
            self.call_seconds += 0.05 * (self._clock() - began - self.call_seconds)
        if first.call:
            self._note_call(first.row.campaign_id, results[0])
        for work, result in zip(works, results, strict=True):
            if result.code == BULK_REFUSED:
                self._miss([work])
            else:
                self._report(work, result)

    def _lateness_allowed(self, works: list[Work]) -> float:
        first = works[0]
        allowed = pacing.lateness_allowed(first.rate) + first.spare
        if first.call:
            allowed = max(allowed, bulk_pacing.lateness_allowed(first.rate, len(works)))
        return allowed

    def _note_call(self, campaign_id: int, result: SendResult) -> None:
        """What a bulk call says about bulk calls; before its reports, for the same flush."""
        if result.code == BULK_REFUSED:
            self.refused_in_bulk[campaign_id] = result.reason or ""
        elif result.outcome is not Outcome.NOT_SUBMITTED:
            self.calls.append(result.code == BULK_THROTTLED)

    def _miss(self, works: list[Work]) -> None:
        """These need other slots; then they go out singly."""
        for work in works:
            del self._own.left[work.row.id]
            self.missed.append(work._replace(misses=work.misses + 1, call=0))

    def _is_fit(self, work: Work, now: float) -> bool:
        """The fence against suspend, the age of the row's check, and stopping."""
        return (
            now <= work.submit_until
            and now - work.checked_at <= CHECK_SECONDS
            and not self._stopping.is_set()
        )

    def _report(self, work: Work, result: SendResult) -> None:
        del self._own.left[work.row.id]
        self.reports.append(Report(work.row, result, datetime.now(UTC)))

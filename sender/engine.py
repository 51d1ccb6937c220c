"""The ledger loop of a sender process: claim, mark, hand over, record; several times a second.

One thread talks to the database; the pool's threads talk to SES. Every flush is one
transaction: marks of the rows whose slots come next, results, early events, the live curve,
what the answers mean for campaigns, and the bucket last.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from config import SendApi, Settings
from database import writing
from domain.send_outcomes import GIVE_BACK, Outcome
from email_service import BULK_THROTTLED, EmailService
from sender.claiming import Claimer, Round
from sender.clocks import boottime
from sender.consequences import Consequences
from sender.mails import MailMaker
from sender.pool import CHECK_SECONDS, SenderPool, Work, given_back
from sender.trouble import OWN_CODES, Trouble
from services import claims, counters, delivery_events, lifecycle, notices, schema, sending
from services.campaigns import RATE_SLOT_SECONDS
from services.sending import Report

logger = logging.getLogger(__name__)

#: Results are on disk this long after they came, at the latest (seconds).
FLUSH_SECONDS = 0.15
#: How the calls went is told to the shared bucket this often, throttles at once (seconds).
_TELL_SECONDS = 0.5
_SCHEMA_SECONDS = 5.0
#: Errors of our own in a row until a person is told, under this code.
_TOLD_AFTER = 3
_FAILING = "sending_fails"
#: Codes that say nothing of how fast SES takes mails.
_NOT_AT_SES = OWN_CODES | {BULK_THROTTLED}
#: A stopping process waits this long for calls in flight (seconds; a call takes at most 10).
DRAIN_SECONDS = 12.0


class SendEngine:
    """Sends for all campaigns until told to stop; `run` is one thread's work."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        service: EmailService,
        worker: str,
    ) -> None:
        with sessions() as session:
            maker = MailMaker(settings, session)
        self._sessions = sessions
        self._pool = SenderPool(service, maker)
        self._claimer = Claimer(settings, sessions, maker, worker)
        self._trouble = Trouble()
        self._consequences = Consequences(settings, self._trouble)
        self._unwritten: list[Report] = []
        self._again: list[Work] = []
        self._flushed_at = 0.0
        self._in_hand = 0
        self._calls = 0
        self._told_at = 0.0
        self._schema_checked_at = -_SCHEMA_SECONDS
        self._schema_fits = True
        self._failures = 0

    @property
    def in_hand(self) -> int:
        """Rows this process holds: claimed, not yet recorded."""
        return self._in_hand

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set, then drain: give back what is not at SES, record the rest."""
        while not stop.is_set():
            stop.wait(self.step())
        self._drain()

    def step(self) -> float:
        """One turn of the loop; how long to wait until the next (seconds)."""
        try:
            turn = self._claim_round()
            if turn.works or self._until_flush() <= 0.0:
                self._flush(turn.works)
        except Exception as error:
            self._failures += 1
            if isinstance(error, SQLAlchemyError):
                about = error.args[0] if error.args else type(error).__name__
                logger.warning("the database did not answer (%s): %s", self._failures, about)
            else:
                logger.exception("sending failed (%s); it is tried again", self._failures)
                if self._failures == _TOLD_AFTER:
                    self._tell_of(error)
            return min(5.0, 0.2 * 2.0 ** min(self._failures, 5))
        if self._failures >= _TOLD_AFTER:
            self._tell_of(None)
        self._failures = 0
        return min(turn.next_in, self._until_flush()) if self._in_hand else turn.next_in

    def _until_flush(self) -> float:
        """How long results may still wait for more of them: few at once cost as much (seconds)."""
        return max(0.0, self._flushed_at + FLUSH_SECONDS - boottime())

    def _tell_of(self, error: Exception | None) -> None:
        """Say on the dashboard that sending fails; None = it goes on."""
        try:
            with self._sessions() as session, writing(session):
                if error is None:
                    notices.clear_notice(session, _FAILING)
                    return
                text = (
                    f"Sending fails with an error of its own ({type(error).__name__}: {error}) "
                    "and is tried again every few seconds. The scheduler's log says where."
                )
                notices.raise_notice(session, _FAILING, "fail", text, datetime.now(UTC))
        except SQLAlchemyError as problem:
            logger.warning("the notice was not written down: %s", problem)

    def _claim_round(self) -> Round:
        self._take_missed()
        if self._trouble.holds(boottime()) or not self._schema_is_ours():
            return Round(next_in=FLUSH_SECONDS)
        turn = self._claimer.round(self._again, self._in_hand, self._pool.call_seconds)
        again = {work.row.id for work in turn.works if work.misses}
        self._again = [work for work in self._again if work.row.id not in again]
        return turn

    def _take_missed(self) -> None:
        """Mails that missed their slot need another, or another claim if that takes too long."""
        while self._pool.missed:
            self._again.append(self._pool.missed.popleft())
        latest = boottime() - CHECK_SECONDS / 2
        for work in [work for work in self._again if work.checked_at < latest]:
            self._again.remove(work)
            result = given_back("stale", "It found no slot in time.")
            self._pool.reports.append(Report(work.row, result, datetime.now(UTC)))

    def _schema_is_ours(self) -> bool:
        if boottime() - self._schema_checked_at >= _SCHEMA_SECONDS:
            self._schema_checked_at = boottime()
            with self._sessions() as session:
                fits = schema.is_current(session)
            if not fits and self._schema_fits:
                logger.error("the schema is not the one of this version: nothing is claimed")
            self._schema_fits = fits
        return self._schema_fits

    def _flush(self, works: list[Work]) -> None:
        """Mark `works` as submitted, write all results, then hand the marked works over."""
        self._flushed_at = boottime()
        new = [work for work in works if not work.misses]
        self._in_hand += len(new)
        while self._pool.reports:
            self._unwritten.append(self._pool.reports.popleft())
        reports = self._unwritten
        if not new and not reports and not self._pool.refused_in_bulk:
            self._pool.put(works)
            return
        try:
            with self._sessions() as session, writing(session):
                marked = claims.mark_submitted(session, [work.row for work in new])
                self._record(session, reports)
        except Exception:
            # Nobody knows whether the marks were committed: these mails are not handed over.
            at = datetime.now(UTC)
            lost = given_back("database", "The database did not answer in time.")
            self._unwritten.extend(Report(work.row, lost, at) for work in works)
            raise
        self._unwritten = []
        self._in_hand -= len(reports)
        self._told(*_answers(reports))
        fit = [work for work in works if work.misses or work.row.id in marked]
        self._in_hand -= len(works) - len(fit)
        self._pool.put(fit)

    def _record(self, session: Session, reports: Sequence[Report]) -> None:
        if reports:
            self._record_results(session, reports)
        self._heed_refusals(session)
        counters.write(session)  # the buckets last: everybody waits for them
        told = [self._pool.calls.popleft() for _ in range(len(self._pool.calls))]
        if told:
            rate_limiter.report_bulk_calls(session, len(told), sum(told))
        if reports:
            self._tell_bucket(session, reports)

    def _record_results(self, session: Session, reports: Sequence[Report]) -> None:
        now = datetime.now(UTC)
        sending.record_results(session, reports, now)
        accepted = [r for r in reports if r.result.outcome is Outcome.ACCEPTED]
        if accepted:
            delivery_events.apply_parked(
                session,
                [r.result.message_id for r in accepted if r.result.message_id],
                now,
            )
        self._consequences.apply(session, reports, now)
        slots = Counter(
            (r.row.campaign_id, int(r.at.timestamp()) // RATE_SLOT_SECONDS) for r in accepted
        )
        if slots:
            sending.add_rate_samples(session, slots)

    def _heed_refusals(self, session: Session) -> None:
        """Campaigns that SES does not take in bulk go on singly."""
        refused = self._pool.refused_in_bulk
        while refused:
            campaign_id, sentence = refused.popitem()
            reason = f"SES refused it in bulk, so it is sent one by one. {sentence}"
            lifecycle.decide_send_api(session, campaign_id, SendApi.SINGLE, reason)

    def _tell_bucket(self, session: Session, reports: Sequence[Report]) -> None:
        calls, throttles = _answers(reports)
        calls += self._calls
        if throttles or (calls and boottime() - self._told_at >= _TELL_SECONDS):
            rate_limiter.report_calls(session, calls, throttles)
        others = [r.result.outcome for r in reports if r.result.outcome is not Outcome.ACCEPTED]
        unsent = sum(outcome in GIVE_BACK for outcome in others)
        if unsent:
            rate_limiter.give_back(session, unsent)
        if Outcome.QUOTA in others:
            rate_limiter.block_quota(session, 60.0)

    def _told(self, calls: int, throttles: int) -> None:
        """After the commit: what the bucket has been told need not be told again."""
        self._calls += calls
        if throttles or boottime() - self._told_at >= _TELL_SECONDS:
            self._calls = 0
            self._told_at = boottime()

    def _drain(self) -> None:
        self._pool.stop()
        at = datetime.now(UTC)
        result = given_back("stopping", "The sender was stopping.")
        self._take_missed()
        self._pool.reports.extend(Report(work.row, result, at) for work in self._again)
        self._again = []
        until = time.monotonic() + DRAIN_SECONDS
        while self._in_hand > 0 and time.monotonic() < until:
            time.sleep(0.02)
            while self._pool.missed:
                work = self._pool.missed.popleft()
                self._pool.reports.append(Report(work.row, result, at))
            try:
                self._flush([])
            except Exception as error:
                logger.warning("results are not written down while stopping: %s", error)
                time.sleep(0.5)
        if self._in_hand:
            logger.warning("stopped with %s mails unrecorded: they will be in doubt", self._in_hand)


def _answers(reports: Sequence[Report]) -> tuple[int, int]:
    """How many of these SES has answered or may have seen, and how many it found too fast.

    That there were too many bulk calls is another bucket's concern.
    """
    calls = throttles = 0
    for report in reports:
        outcome, code = report.result.outcome, report.result.code
        if outcome is Outcome.ACCEPTED:
            calls += 1
        elif outcome is not Outcome.NOT_SUBMITTED and code not in _NOT_AT_SES:
            calls += 1
            throttles += outcome is Outcome.THROTTLED
    return calls, throttles

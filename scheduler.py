"""The scheduler: sends what is due, applies events, settles doubt, runs background jobs.

`python scheduler.py` works until SIGTERM and then drains; `--until-idle` ends when nothing is
left to do. Any number of them may run on any number of hosts.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from aws.clients import AwsClients
from aws.topology import read_queue
from config import ConfigError, Settings, load_settings
from database import make_engine, make_sessions, writing
from email_service import make_email_service
from sender import account, children
from sender.children import SenderProcesses
from sender.clocks import boottime
from sender.doubt_watch import DoubtWatch
from sender.engine import SendEngine
from sender.housekeeping import Housekeeping
from sender.idle import IdleWatch
from sender.signals import stop_on_signals
from sender.tracking_watch import TrackingWatch
from services import jobs, schema, signup_mails, test_mails, workers
from sns_handler import COLLECT_AFTER, EventApplier, SecondPoller, SqsPoller

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 5.0
_HOUSEKEEPING_SECONDS = 1.0
_TRACKING_SECONDS = 0.25
_ACCOUNT_SECONDS = 5.0
_IDLE_LOOK_SECONDS = 1.0
_JOBS_SECONDS = 1.0
_JOBS_AT_ONCE = 2
#: By then the modules and clients that are loaded on first use are there (beats).
_WARM_AFTER_BEATS = 3
#: An account that cannot be read holds up sending for so long (seconds).
_FIRST_READING_SECONDS = 5.0
#: A child has drained by then, or never will (seconds; DESIGN section 8: within 15 s).
_CHILD_SECONDS = 14.0
#: Exit code of `--until-idle` when a campaign was paused by an error.
PAUSED_BY_ERROR = 3


def worker_name() -> str:
    """A name for this process that no other has."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"


class Scheduler:
    """The threads of one process. With `only_sends` it is a helper of another scheduler."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        only_sends: bool = False,
        processes: SenderProcesses | None = None,
    ) -> None:
        self.settings = settings
        self.sessions: sessionmaker[Session] = make_sessions(engine)
        self.worker = worker_name()
        self.stop = threading.Event()
        self.clients = AwsClients(settings)
        self.service = make_email_service(self.clients)
        self._sending = engine
        if engine.dialect.name == "postgresql":
            self._sending = make_engine(engine.url, pool_size=2, by_index=True)
        self.engine = SendEngine(settings, make_sessions(self._sending), self.service, self.worker)
        self._role = "sender" if only_sends else "scheduler"
        self._processes = processes
        self._housekeeping = Housekeeping(settings, self.sessions)
        self._tracking = TrackingWatch(settings, self.sessions, self.clients)
        self._doubt = DoubtWatch(settings, self.sessions, self.clients, self._send_probe)
        self._threads: list[threading.Thread] = []
        self._account_read = threading.Event()
        self._beats = 0

    def start(self) -> None:
        """Put the ceiling of the settings in force and start all threads."""
        with self.sessions() as session, writing(session):
            rate_limiter.put_ceiling_in_force(
                session,
                self.settings.max_emails_per_second,
                self.settings.ses_quota_reserve_percent,
            )
        self._thread("sender", self._send)
        self._every("heartbeat", _BEAT_SECONDS, self._beat)
        if self._role == "sender":
            self._account_read.set()  # by its parent
            return
        self._every("housekeeping", _HOUSEKEEPING_SECONDS, self._keep_house)
        self._every("tracking", _TRACKING_SECONDS, lambda: self._tracking.step(_now()))
        self._every("account", _ACCOUNT_SECONDS, self._read_account)
        self._every("doubt", self._doubt.every_seconds, lambda: self._doubt.step(_now()))
        second = SecondPoller() if self.settings.senders > 1 else None
        poller = SqsPoller(self.settings, self.sessions, self.clients, second=second)
        applier = EventApplier(self.settings, self.sessions)
        for number in range(_JOBS_AT_ONCE):  # a test mail does not wait behind a long import
            self._every(f"jobs-{number}", _JOBS_SECONDS, self._do_jobs)
        self._every("sign-ups", _JOBS_SECONDS, self._send_confirmations)
        self._thread("poller", lambda: poller.run(self.stop))
        self._thread("applier", lambda: applier.run(self.stop))

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name)
        self._threads.append(thread)
        thread.start()

    def _every(self, name: str, seconds: float, step: Callable[[], None]) -> None:
        def run() -> None:
            while not self.stop.is_set():
                try:
                    step()
                except DBAPIError as error:
                    logger.warning("%s: the database did not answer: %s", name, error.args[0])
                except Exception:
                    logger.exception("%s failed; it is tried again", name)
                self.stop.wait(seconds)

        self._thread(name, run)

    def _do_jobs(self) -> None:
        """Do background jobs, one after another, until none waits."""
        work = jobs.Dependencies(
            self.settings, lambda: self.service, _now, should_stop=self.stop.is_set
        )
        while not self.stop.is_set():
            with self.sessions() as session, writing(session):
                job = jobs.claim_job(session, self.worker, _now())
            if job is None:
                return
            jobs.run_job(self.sessions, job.id, self.worker, work)

    def _send_confirmations(self) -> None:
        signup_mails.send_due(
            self.sessions, self.settings, self.service, _now, should_stop=self.stop.is_set
        )

    def _keep_house(self) -> None:
        self._housekeeping.step(_now())
        if self._processes is not None:
            with self.sessions() as session:
                bucket = rate_limiter.read(session)
                schedulers = max(1, workers.alive(session, "scheduler"))
            if bucket is not None:
                self._processes.adjust(bucket.pace.ceiling / schedulers)

    def _send(self) -> None:
        """Send, once the account was asked for its quota: a new database knows none."""
        self._account_read.wait(_FIRST_READING_SECONDS)
        self.engine.run(self.stop)

    def _read_account(self) -> None:
        try:
            account.refresh(self.settings, self.sessions, self.clients, _now())
        finally:
            self._account_read.set()

    def _send_probe(self, test_mail_id: int) -> None:
        test_mails.run(self.sessions, test_mail_id, settings=self.settings, service=self.service)

    def _beat(self) -> None:
        with self.sessions() as session, writing(session):
            details = {"pid": os.getpid(), "in_hand": self.engine.in_hand}
            workers.beat(session, self.worker, self._role, details, _now())
            workers.forget_gone(session)
        self._beats += 1
        if self._beats <= _WARM_AFTER_BEATS:
            # What is loaded by now stays. A full look of the collector at it takes 0.1 s, in
            # which no thread runs and every slot is missed; from now on it passes over all this.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)

    def wait_until_idle(self) -> int:
        """Wait until nothing is left to do (or `stop` is set); the exit code."""
        watch = IdleWatch(self.settings, self.sessions, self._queue_depth, boottime, _now())
        while not self.stop.wait(_IDLE_LOOK_SECONDS):
            try:
                if self.engine.in_hand == 0 and watch.is_idle():
                    break
            except DBAPIError as error:
                logger.warning("the database did not answer: %s", error.args[0])
        return PAUSED_BY_ERROR if watch.stopped_by_error() else 0

    def _queue_depth(self) -> int | None:
        if not self.settings.sqs_queue_url:
            return None
        queue = read_queue(self.clients.sqs, self.settings.sqs_queue_url)
        if queue.visible is None or queue.in_flight is None:
            logger.warning("the event queue cannot be read: %s", queue.error)
            return None
        return queue.visible + queue.in_flight

    def end(self) -> None:
        """Stop, drain, say good-bye."""
        self.stop.set()
        if self._processes is not None:
            self._processes.stop()
        for thread in self._threads:
            thread.join()
        if self._processes is not None:
            self._processes.wait(_CHILD_SECONDS)
        with self.sessions() as session, writing(session):
            workers.leave(session, self.worker)
        self.service.close()
        self.clients.close()
        if self._sending.dialect.name == "postgresql":
            self._sending.dispose()


def _now() -> datetime:
    return datetime.now(UTC)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a scheduler; the exit code of the process."""
    parser = argparse.ArgumentParser(prog="scheduler.py", description=__doc__)
    parser.add_argument("--until-idle", action="store_true", help="end when nothing is left to do")
    parser.add_argument("--sender-of", type=int, help=argparse.SUPPRESS, metavar="PID")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = load_settings()
    except ConfigError as error:
        logger.error("%s", error)
        return 1
    # Its memory stays flat however large the file grows.
    engine = make_engine(settings.database_url, mapped_bytes=0)
    try:
        if not _schema_fits(engine):
            return 1
    except DBAPIError as error:
        logger.error("The database does not answer: %s", " ".join(str(error.orig).split()))
        return 1
    only_sends = options.sender_of is not None
    processes = None if only_sends else SenderProcesses(children.command(), settings.senders)
    scheduler = Scheduler(settings, engine, only_sends=only_sends, processes=processes)
    stop_on_signals(scheduler.stop, signal.SIGTERM, signal.SIGINT)
    scheduler.start()
    logger.info("worker=%s started", scheduler.worker)
    code = 0
    try:
        if options.until_idle:
            code = scheduler.wait_until_idle()
        elif only_sends:
            while os.getppid() == options.sender_of and not scheduler.stop.wait(1.0):
                pass
        else:
            # Not without a limit: a signal that comes just before the main thread falls asleep
            # is looked at only when it wakes.
            while not scheduler.stop.wait(1.0):
                pass
    finally:
        scheduler.end()
    logger.info("worker=%s ended in order", scheduler.worker)
    return code


def _schema_fits(engine: Engine) -> bool:
    with make_sessions(engine)() as session:
        if schema.is_current(session):
            return True
        found = schema.current_version(session) or "none"
    logger.error(
        "The database has schema %s, this version needs %s. Run: python update_db_schema.py",
        found,
        schema.NEEDED_VERSION,
    )
    return False


if __name__ == "__main__":
    sys.exit(main())

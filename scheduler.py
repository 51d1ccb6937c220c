"""The scheduler: sends what is due, applies events, settles doubt, runs background jobs.

`python scheduler.py` works until SIGTERM and then drains; `--until-idle` ends when nothing is
left to do. Any number of them may run on any number of hosts.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import FrameType

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from aws.clients import AwsClients
from config import ConfigError, Settings, load_settings
from database import make_engine, make_sessions, writing
from email_service import make_email_service
from sender.engine import SendEngine
from sender.housekeeping import Housekeeping
from services import workers

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 5.0
_HOUSEKEEPING_SECONDS = 1.0


def worker_name() -> str:
    """A name for this process that no other has."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"


class Scheduler:
    """The threads of one process."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.sessions: sessionmaker[Session] = make_sessions(engine)
        self.worker = worker_name()
        self.stop = threading.Event()
        self.clients = AwsClients(settings)
        self.engine = SendEngine(
            settings, self.sessions, make_email_service(self.clients), self.worker
        )
        self._housekeeping = Housekeeping(settings, self.sessions)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Put the ceiling of the settings in force and start all threads."""
        with self.sessions() as session, writing(session):
            rate_limiter.put_ceiling_in_force(
                session,
                self.settings.max_emails_per_second,
                self.settings.ses_quota_reserve_percent,
            )
        self._thread("sender", lambda: self.engine.run(self.stop))
        self._every("housekeeping", _HOUSEKEEPING_SECONDS, self._keep_house)
        self._every("heartbeat", _BEAT_SECONDS, self._beat)

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

    def _keep_house(self) -> None:
        self._housekeeping.step(datetime.now(UTC))

    def _beat(self) -> None:
        with self.sessions() as session, writing(session):
            details = {"pid": os.getpid(), "in_hand": self.engine.in_hand}
            workers.beat(session, self.worker, "scheduler", details, datetime.now(UTC))

    def end(self) -> None:
        """Stop, drain, say good-bye."""
        self.stop.set()
        for thread in self._threads:
            thread.join()
        with self.sessions() as session, writing(session):
            workers.leave(session, self.worker)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a scheduler; the exit code of the process."""
    parser = argparse.ArgumentParser(prog="scheduler.py", description=__doc__)
    parser.add_argument("--until-idle", action="store_true", help="end when nothing is left to do")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = load_settings()
    except ConfigError as error:
        logger.error("%s", error)
        return 1
    scheduler = Scheduler(settings, make_engine(settings.database_url))
    _stop_on_signals(scheduler.stop)
    scheduler.start()
    logger.info("worker=%s started", scheduler.worker)
    code = 0
    del options
    scheduler.stop.wait()
    scheduler.end()
    logger.info("worker=%s ended in order", scheduler.worker)
    return code


def _stop_on_signals(stop: threading.Event) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


if __name__ == "__main__":
    sys.exit(main())

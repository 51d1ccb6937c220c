"""Scheduler processes for flow tests: the real program, with its own settings, to be killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from services import ledger
from services.recount import recount

ROOT = Path(__file__).resolve().parents[2]


class SchedulerProcess:
    """One `python scheduler.py`; its log is in `log`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        log: Path,
        *arguments: str,
        program: Path = ROOT / "scheduler.py",
    ) -> None:
        self.log = log
        self._name = f"bes-{secrets.token_hex(6)}"  # of its connections, to PostgreSQL
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(program), *arguments],
                env={**os.environ, **environment, "PGAPPNAME": self._name},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds: float = 90.0) -> int:
        """As a service manager would; the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def freeze(self, engine: Engine) -> None:
        """Stop it where it stands, but not inside a transaction: that would lock out others."""
        self._stop()
        while not _is_free(engine, self._name):
            self.thaw()
            time.sleep(0.003)
            self._stop()

    def _stop(self) -> None:
        """Send the signal and wait for the last thread to stand still."""
        self.process.send_signal(signal.SIGSTOP)
        threads = Path(f"/proc/{self.process.pid}/task")
        wait_for(lambda: all(_stands_still(one) for one in threads.iterdir()), pause=0.001)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float = 240.0) -> int:
        """Wait for its own end; the exit code."""
        return self.process.wait(seconds)

    def text(self) -> str:
        """What it logged."""
        return self.log.read_text(errors="replace")


def _stands_still(thread: Path) -> bool:
    """Whether a thread, a folder in /proc, is stopped."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return True  # it ended meanwhile


def _is_free(engine: Engine, name: str) -> bool:
    """Whether nobody writes to this file, or no connection of this name is in a transaction."""
    if engine.dialect.name == "sqlite":
        with Path(f"{engine.url.database}.writer-lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = :name AND xact_start IS NOT NULL"
    )
    with engine.connect() as connection:
        return not connection.scalar(query, {"name": name})


class Schedulers:
    """Starts schedulers of one installation and ends what is left of them."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._started: list[SchedulerProcess] = []

    def start(
        self, *arguments: str, program: Path = ROOT / "scheduler.py", **settings: str
    ) -> SchedulerProcess:
        """Another scheduler; `settings` are environment variables of its own."""
        log = self._folder / f"scheduler-{len(self._started)}.log"
        process = SchedulerProcess(
            {**self._environment, **settings}, log, *arguments, program=program
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs."""
        for started in self._started:
            if started.process.poll() is None:
                started.process.send_signal(signal.SIGCONT)
                started.kill()


@contextmanager
def schedulers_of(environment: Mapping[str, str], folder: Path) -> Iterator[Schedulers]:
    """Schedulers that do not outlive the block."""
    schedulers = Schedulers(environment, folder)
    try:
        yield schedulers
    finally:
        schedulers.end()


def wait_for(what: Callable[[], Any], seconds: float = 180.0, pause: float = 0.02) -> Any:
    """The first true value of `what`; fails when none comes in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = what()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"it did not happen within {seconds} seconds: {what}")


def counters(sessions: sessionmaker[Session], campaign_id: int) -> dict[str, int]:
    """The campaign's counters now."""
    with sessions() as session:
        return ledger.read_counters(session, campaign_id)


def assert_counters_true(sessions: sessionmaker[Session], campaign_id: int) -> None:
    """Every counter equals a recount of the ledger."""
    with sessions() as session:
        assert ledger.read_counters(session, campaign_id) == recount(session, campaign_id)


def most_in_any(times: list[float], seconds: float) -> int:
    """The most of these moments in any window of this length."""
    times = sorted(times)
    most = start = 0
    for end, at in enumerate(times):
        while times[start] <= at - seconds:
            start += 1
        most = max(most, end - start + 1)
    return most

"""A second process that polls the queue too, for as long as a backlog lasts.

One process reads and applies events on one core at most; the other core would rest meanwhile.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[1]
#: A backlog of this age is no burst (seconds).
_AFTER_SECONDS = 2.0
#: The process stays so long after the last sign of a backlog (seconds).
_STAYS_SECONDS = 60.0
_DRAIN_SECONDS = 5.0


class SecondPoller:
    """Starts and ends the process; `look` is called about once a second."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = (sys.executable, "-m", "doors.poller_child"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`environment` is added to this process's own; `clock` in seconds."""
        self._environment = {**os.environ, **(environment or {})}
        self._command = [*command, str(os.getpid())]
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._began: float | None = None  # the backlog
        self._seen = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id; None = there is none."""
        return self._process.pid if self._process is not None else None

    def look(self, *, backlog: bool) -> None:
        """Start it for a backlog that lasts, end it when there has been none for a while."""
        now = self._clock()
        if self._process is not None and self._process.poll() is not None:
            logger.warning("second poller pid=%s ended with %s", self.pid, self._process.returncode)
            self._process, self._began = None, None
        if backlog:
            self._seen = now
            self._began = now if self._began is None else self._began
        else:
            self._began = None
        if self._process is None:
            if self._began is not None and now - self._began >= _AFTER_SECONDS:
                self._start()
        elif now - self._seen >= _STAYS_SECONDS:
            self.stop()

    def _start(self) -> None:
        self._began = None
        try:
            self._process = subprocess.Popen(self._command, cwd=_ROOT, env=self._environment)
        except OSError as error:
            logger.warning("a second poller cannot be started: %s", error)
            return
        logger.info("second poller pid=%s started", self.pid)

    def stop(self) -> None:
        """End it; what it holds and has not stored comes again."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        logger.info("second poller pid=%s ended", process.pid)

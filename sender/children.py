"""More sender processes beside this one, when the rate is more than one can carry."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence

logger = logging.getLogger(__name__)

#: One process is enough up to this many mails a second (DESIGN section 7).
ENOUGH_FOR_ONE = 300.0


class SenderProcesses:
    """Children that only send; they end by themselves when their parent is gone."""

    def __init__(self, command: Sequence[str], most: int) -> None:
        self._command = [*command, "--sender-of", str(os.getpid())]
        self._most = most  # this process included
        self._running: list[subprocess.Popen[bytes]] = []

    def adjust(self, rate: float) -> None:
        """Start what this scheduler's share of the rate needs (mails a second) and replace what
        has died. Where many share the rate, more processes would only be in each other's way."""
        ended = [child for child in self._running if child.poll() is not None]
        for child in ended:
            level = logging.WARNING if child.returncode else logging.INFO
            logger.log(level, "sender pid=%s ended with %s", child.pid, child.returncode)
            self._running.remove(child)
        wanted = self._most - 1 if rate > ENOUGH_FOR_ONE else 0
        while len(self._running) < wanted:
            child = subprocess.Popen(self._command)
            logger.info("sender pid=%s started", child.pid)
            self._running.append(child)
        for child in self._running[wanted:]:
            child.terminate()

    def stop(self) -> None:
        """Tell all to drain."""
        for child in self._running:
            child.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until all have ended; what has not by then is killed (its rows fall in doubt)."""
        for child in self._running:
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._running = []


def command() -> list[str]:
    """How to start this program again."""
    return [sys.executable, os.path.abspath(sys.argv[0])]  # noqa: PTH100 - symlinks stay

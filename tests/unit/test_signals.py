"""A signal ends a process in order wherever its main thread is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, signal, threading
from sender.signals import stop_on_signals
stop = threading.Event()
stop_on_signals(stop, signal.SIGTERM)
with stop._cond:  # as the main thread does on its way into `stop.wait()`
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):  # the handler runs between these
        pass
print(stop.wait(30))
"""


def test_a_signal_that_comes_while_the_event_is_locked_does_not_hang() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)

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

WAITING = """
import signal, sys, threading, time
import scheduler


class Idle:  # instead of the threads that send, one that the signal wakes
    worker = "idle"

    def __init__(self, *given, **named):
        self.stop = threading.Event()

    def start(self):
        threading.Thread(target=strike, daemon=True).start()

    def end(self):
        pass


def strike():
    place, looks = None, 0
    while looks < 10:  # until the main thread sleeps inside `stop.wait`
        time.sleep(0.01)
        frame = sys._current_frames()[threading.main_thread().ident]
        waits = frame.f_code is threading.Condition.wait.__code__
        looks = looks + 1 if waits and frame.f_lasti == place else 0
        place = frame.f_lasti
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # wakes this thread alone


scheduler.Scheduler = Idle
scheduler._schema_fits = lambda engine: True
print(scheduler.main([]))
"""


def test_a_signal_that_comes_while_the_event_is_locked_does_not_hang() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def test_a_scheduler_ends_when_a_signal_does_not_wake_its_main_thread(
    environment: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WAITING],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr

"""The simulator as a process: its one line, its end by signal and by its parent's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.simulator.conftest import eventually, fetch

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "ses_simulator", "--port", "0"]


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running simulator and its URL."""
    child = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert child.stdout
            line = child.stdout.readline()
            assert line.startswith("SES simulator on http://127.0.0.1:")
            yield child, line.split()[-1]
        finally:
            child.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(number: signal.Signals) -> None:
    with process() as (child, url):
        assert fetch(f"{url}/_sim/stats")[0] == 200
        child.send_signal(number)
        assert child.wait(timeout=60) == 0
        assert child.stderr
        assert child.stderr.read() == ""


def test_it_ends_when_its_parent_is_gone() -> None:
    script = (
        "import os, subprocess, sys\n"
        f"subprocess.Popen({COMMAND!r} + ['--parent', str(os.getpid())])\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout
        url = parent.stdout.readline().split()[-1]
        assert fetch(f"{url}/_sim/stats")[0] == 200
        parent.kill()
        parent.wait()
        # The pipe closes when the simulator, the last that holds it, has ended.
        assert parent.stdout.read() == ""


def test_options_reach_the_account() -> None:
    with process("--rate", "14", "--quota", "200", "--latency-ms", "30") as (_, url):
        status, body, _ = fetch(f"{url}/v2/email/account")
        assert status == 200
        assert b'"MaxSendRate": 14.0' in body
        assert b'"Max24HourSend": 200.0' in body
        assert b'"latency_ms": 30.0' in fetch(f"{url}/_sim/faults")[1]


def test_a_taken_port_is_told_in_one_line() -> None:
    with process() as (_, url):
        port = url.rpartition(":")[2]
        second = subprocess.run(
            [*COMMAND, "--port", port], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode == 1
        assert second.stderr.startswith("SES simulator: ")
        assert len(second.stderr.splitlines()) == 1


def test_webhook_named_at_the_start_is_asked_to_confirm_until_it_does() -> None:
    # The other simulator answers 404, which is no confirmation but shows that we knocked.
    with (
        process() as (_, receiver),
        process("--webhook", f"{receiver}/sns-notifications") as (_, url),
    ):

        def knocked() -> bool:
            return b"webhook failed attempts" in fetch(f"{url}/_sim/stats")[1]

        assert eventually(knocked)


def test_simulator_holds_no_open_file_after_stop() -> None:
    from ses_simulator.server import start

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a folder of the kernel

    with start():
        pass
    before = open_files()
    for _ in range(3):
        with start() as simulator:
            fetch(f"{simulator.url}/_sim/stats")
    assert open_files() == before


def test_a_taken_port_is_told_in_process_too() -> None:
    from ses_simulator.server import start

    with start() as simulator, pytest.raises(OSError, match="in use"):
        start(port=int(simulator.url.rpartition(":")[2]))

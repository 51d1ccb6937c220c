"""Starts the product as a person does, from a copy of the repository, and finds its processes.

Every process that descends from a start carries a mark in its environment, by which it is found
in /proc whoever its parent is by then.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MARK = "TEST_START_MARK"


def copy_of_the_repository(target: Path) -> Path:
    """What a clone would hold, with the running virtual environment beside it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
    return target


@dataclass(frozen=True)
class Start:
    """Something that was started in a session of its own, with all its descendants."""

    process: subprocess.Popen[str]
    mark: str
    output: Path

    def pids(self, containing: str = "") -> list[int]:
        """Living descendants whose command line contains a text."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = f"{_MARK}={self.mark}".encode() in (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
            if marked and command and containing in command:
                found.append(int(folder.name))
        return sorted(found)

    def words(self) -> str:
        """What was printed so far."""
        return self.output.read_text(errors="replace")

    def interrupt(self) -> int:
        """Press Ctrl-C and wait; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(120)

    def end(self) -> None:
        """Whatever happened: leave no process behind."""
        self.process.poll()
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(60)


@contextmanager
def started(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Start]:
    """Run a command in a folder; everything it started is gone afterwards."""
    mark = uuid.uuid4().hex
    clean = {key: os.environ[key] for key in ("PATH", "LANG", "TZ") if key in os.environ}
    output = folder / f"output-{mark}.txt"
    # Ctrl-C counts also where the tests run in the background of a shell that ignores it.
    whole = ["env", "--default-signal=INT", *command]
    with output.open("w") as file:
        process = subprocess.Popen(
            whole, cwd=folder, env={**clean, "HOME": str(folder), **environment, _MARK: mark},
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
    start = Start(process, mark, output)
    try:
        yield start
    finally:
        start.end()


def until(condition: Callable[[], object], what: str, seconds: float = 150) -> None:
    """Wait for something to become true; fails with `what` when it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(0.1)


def status_of(url: str) -> int:
    """The HTTP status of a page; 0 while nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - loopback
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, ValueError):
        return 0

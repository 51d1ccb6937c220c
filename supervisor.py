"""A process beside the web server that keeps the scheduler, and the simulator if wanted, alive.

It is a process of its own because gunicorn's master reaps every child it finds and swallows
exit codes. It ends its children in order when it is told to, and when its own parent is gone.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click
from flask.cli import run_command
from flask.helpers import get_debug_flag

from config import ROOT, SchedulerMode, Settings, load_settings
from launcher import first_start
from launcher.child import DRAIN_SECONDS, end_with
from sender.signals import stop_on_signals

logger = logging.getLogger(__name__)

#: A child that lived this long, in seconds, is restarted at once; others wait longer each time.
_HEALTHY_SECONDS = 60
_LONGEST_WAIT = 30.0
_TICK_SECONDS = 0.25


@dataclass
class Child:
    """A process to keep alive while `wanted()` holds."""

    name: str
    command: list[str]
    wanted: Callable[[], bool] = lambda: True
    drain_seconds: float = 5.0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = field(default=0.0, init=False)
    wait: float = field(default=0.0, init=False)

    def step(self, now: float) -> None:
        """Start it, or start it again once its back-off is over; `now` is a monotonic clock."""
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            self._note_end(now)
        if now >= self.started_at + self.wait and self.wanted():
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )  # their words are on stderr
            self.started_at = now

    def _note_end(self, now: float) -> None:
        code = self.process.returncode if self.process else 0
        self.process = None
        lived = now - self.started_at
        self.wait = 0.0 if lived >= _HEALTHY_SECONDS else min(_LONGEST_WAIT, 2 * self.wait + 1)
        self.started_at = now
        logger.warning("%s ended with code %s; next start in %.0f s", self.name, code, self.wait)

    def stop(self) -> None:
        """Let it finish what it does, then end it."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(self.drain_seconds)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not end in %.0f s: killed", self.name, self.drain_seconds)
            self.process.kill()
            self.process.wait()


def children_for(settings: Settings) -> list[Child]:
    """What has to run beside the web server, in the order in which it starts."""
    children = []
    if settings.uses_simulator:
        port = settings.simulator_port
        children.append(
            Child(
                "the simulator",
                _command("ses_simulator", "--port", str(port)),
                wanted=lambda: not answers(port),
            )
        )
    if settings.scheduler is SchedulerMode.EMBEDDED:
        children.append(
            Child(
                "the scheduler",
                _command("scheduler"),
                wanted=lambda: not settings.uses_simulator or answers(settings.simulator_port),
                drain_seconds=DRAIN_SECONDS,
            )
        )
    return children


def answers(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "launcher.child", str(os.getpid()), module, *arguments]


def watch(children: list[Child], stop: threading.Event) -> None:
    """Keep the children alive until `stop` is set, then end them, the last one first."""
    try:
        while not stop.wait(_TICK_SECONDS):
            for child in children:
                child.step(time.monotonic())
    finally:
        for child in reversed(children):
            child.stop()


class Handle:
    """The supervisor process as its starter sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "supervisor", str(os.getpid())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the web server, which then calls `stop`
        )

    def stop(self) -> None:
        """End it and its children, in order; returns when they are gone."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(DRAIN_SECONDS + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def follow_flask_run(settings: Settings) -> None:
    """Start a supervisor if, and only if, this is the process that `flask run` serves from.

    Any other caller of `create_app` (tests, other commands, gunicorn, the reloader's own
    process) starts nothing.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.command is not run_command:
        return
    reload = context.params.get("reload")
    uses_reloader = get_debug_flag() if reload is None else reload
    if uses_reloader:
        if os.environ.get("WERKZEUG_RUN_MAIN") != "true":
            return
        end_with(os.getppid())  # a reloader that was killed would leave us serving
    problem = first_start.schema_problem(settings)
    if problem:
        raise click.ClickException(problem)
    for line in first_start.account_lines(settings, f"http://127.0.0.1:{context.params['port']}"):
        click.echo(line)
    if children_for(settings):
        context.call_on_close(Handle().stop)


def main(parent: int) -> int:
    """Supervise until SIGTERM comes or the parent is gone."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    stop = threading.Event()
    stop_on_signals(stop, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    end_with(parent)
    watch(children_for(load_settings()), stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

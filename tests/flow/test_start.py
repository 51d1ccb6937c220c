"""`make run`, `flask run` and gunicorn: what they start, how it ends, and what keeps running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import skip_missing
from tests.flow.processes import (
    Start,
    copy_of_the_repository,
    started,
    status_of,
    until,
)
from tests.ports import free_port

BIN = Path(sys.prefix) / "bin"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def ports() -> dict[str, str]:
    """Free ports for the web and the simulator."""
    return {"PORT": str(free_port()), "SIMULATOR_PORT": str(free_port())}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository after `make setup`."""
    clone = copy_of_the_repository(tmp_path_factory.mktemp("clone") / "repository")
    with started([sys.executable, "run.py", "--setup"], clone, {}) as start:
        assert start.process.wait(150) == 0, start.words()
    return clone


def _is_up(start: Start, port: str) -> None:
    until(lambda: status_of(f"http://127.0.0.1:{port}/readyz") == 200, "the web answers")
    until(lambda: start.pids("launcher.child"), "the scheduler runs")


def assert_all_gone(start: Start) -> None:
    until(lambda: not start.pids(), f"no process is left: {start.words()}")


def test_make_run_in_a_clean_clone_serves_until_ctrl_c(
    tmp_path: Path, ports: dict[str, str]
) -> None:
    if shutil.which("make") is None:
        skip_missing("make")
    clone = copy_of_the_repository(tmp_path / "repository")
    port = ports["PORT"]
    with started(["make", "-C", str(clone), "run"], tmp_path, ports) as start:
        _is_up(start, port)
        words = start.words()
        assert f"Bulk Email Scheduler is ready: http://127.0.0.1:{port}\n" in words
        link = re.search(r"Make the first account: (http://\S+)", words)
        assert link, words
        with urllib.request.urlopen(link[1], timeout=60) as page:  # noqa: S310 - loopback
            assert link[1].partition("token=")[2] in page.read().decode()
        until(lambda: len(start.pids("launcher.child")) == 2, "simulator and scheduler run")
        until(lambda: status_of(f"http://127.0.0.1:{ports['SIMULATOR_PORT']}/_sim/"), "simulator")
        start.interrupt()
        assert_all_gone(start)
    key = re.search(r"^SECRET_KEY=([0-9a-f]{64})$", (clone / ".env").read_text(), re.MULTILINE)
    assert key
    assert (clone / ".env").stat().st_mode & 0o777 == 0o600


def test_gunicorn_ends_everything_in_order_and_exits_0(
    prepared: Path, ports: dict[str, str]
) -> None:
    command = [str(BIN / "gunicorn"), "app:create_app()"]
    with started(command, prepared, {**ports, "WEB_CONCURRENCY": "2"}) as start:
        _is_up(start, ports["PORT"])
        until(lambda: " started" in start.words(), "the scheduler works")
        start.process.send_signal(signal.SIGTERM)
        assert start.process.wait(150) == 0
        assert_all_gone(start)
        words = start.words()
    assert words.index("Shutting down") < words.index("ended in order")


def test_nothing_survives_a_killed_gunicorn(prepared: Path, ports: dict[str, str]) -> None:
    with started([str(BIN / "gunicorn"), "app:create_app()"], prepared, ports) as start:
        _is_up(start, ports["PORT"])
        start.process.kill()
        start.process.wait(60)
        assert_all_gone(start)


def test_killed_scheduler_is_started_again(prepared: Path, ports: dict[str, str]) -> None:
    with started([str(BIN / "gunicorn"), "app:create_app()"], prepared, ports) as start:
        _is_up(start, ports["PORT"])
        until(lambda: start.pids("scheduler"), "the scheduler runs")
        (first,) = start.pids(" scheduler")
        os.kill(first, signal.SIGKILL)
        until(lambda: first not in start.pids() and start.pids(" scheduler"), "another one runs")
        assert "the scheduler ended with code -9" in start.words()


@pytest.mark.parametrize("reloader", [(), ("--debug",)], ids=["plain", "reloader"])
def test_flask_run_has_exactly_one_scheduler(
    prepared: Path, ports: dict[str, str], reloader: tuple[str, ...]
) -> None:
    command = [str(BIN / "flask"), "--app", "app", "run", "--port", ports["PORT"], *reloader]
    with started(command, prepared, ports) as start:
        _is_up(start, ports["PORT"])
        until(lambda: len(start.pids("launcher.child")) == 2, "simulator and scheduler run")
        assert len(start.pids(" scheduler")) == 1
        assert len(start.pids("-m supervisor")) == 1
        start.interrupt()
        assert_all_gone(start)


def test_external_scheduler_is_not_started(prepared: Path, ports: dict[str, str]) -> None:
    command = [str(BIN / "gunicorn"), "app:create_app()"]
    with started(command, prepared, {**ports, "SCHEDULER": "external"}) as start:
        _is_up(start, ports["PORT"])
        assert len(start.pids("ses_simulator")) == 1
        assert not start.pids(" scheduler")


def test_sending_through_ses_never_starts_the_simulator(
    prepared: Path, ports: dict[str, str]
) -> None:
    more = {"EMAIL_BACKEND": "ses", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with started([str(BIN / "gunicorn"), "app:create_app()"], prepared, ports | more) as start:
        _is_up(start, ports["PORT"])
        assert not start.pids("ses_simulator")


def test_port_in_use_is_one_clear_sentence(prepared: Path, ports: dict[str, str]) -> None:
    with started([str(BIN / "gunicorn"), "app:create_app()"], prepared, ports) as first:
        _is_up(first, ports["PORT"])
        with started([sys.executable, "run.py"], prepared, ports) as second:
            assert second.process.wait(150) == 1
            words = second.words().strip()
    assert words == f"Port {ports['PORT']} is in use: stop what runs there, or set PORT in .env."


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "run.py"],
        [str(BIN / "gunicorn"), "app:create_app()"],
        [str(BIN / "flask"), "--app", "app", "campaigns", "list"],
        [sys.executable, "update_db_schema.py"],
    ],
    ids=["run", "gunicorn", "flask", "schema"],
)
def test_bad_settings_are_all_named_at_once(
    prepared: Path, ports: dict[str, str], command: list[str]
) -> None:
    bad = {"MAX_EMAILS_PER_SECOND": "fast", "IN_DOUBT_POLICY": "guess"}
    with started(command, prepared, ports | bad) as start:
        assert start.process.wait(150) == 1
        words = start.words()
    assert "MAX_EMAILS_PER_SECOND=fast" in words
    assert "IN_DOUBT_POLICY=guess" in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    "command",
    [[str(BIN / "gunicorn"), "app:create_app()"], [str(BIN / "flask"), "--app", "app", "run"]],
    ids=["gunicorn", "flask"],
)
def test_missing_schema_is_named_with_its_command(
    prepared: Path, tmp_path: Path, ports: dict[str, str], command: list[str]
) -> None:
    empty = {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.db'}"}
    with started(command, prepared, ports | empty) as start:
        assert start.process.wait(150) == 1
        assert "python update_db_schema.py" in start.words()


_READERS = {
    "python": ([sys.executable], "import config; print('port', config.load_settings().port)"),
    "flask": (
        [str(BIN / "flask"), "--app", "app", "shell"],
        "print('port', app.extensions['bes'].settings.port)",
    ),
    "gunicorn": ([str(BIN / "gunicorn"), "--print-config", "app:create_app()"], ""),
}


@pytest.mark.parametrize("reader", _READERS)
def test_all_programs_read_the_same_settings(tmp_path: Path, reader: str) -> None:
    clone = copy_of_the_repository(tmp_path / "repository")
    (clone / ".env").write_text("SECRET_KEY=0123456789abcdef0123456789abcdef\nPORT=6001\n")
    (clone / ".env.production").write_text("PORT=6002\n")
    (clone / ".env.development").write_text("PORT=6003\n")
    command, words = _READERS[reader]

    def port(**environment: str) -> str:
        done = subprocess.run(
            command, cwd=clone, input=words + "\n", capture_output=True, text=True, timeout=150,
            env={"PATH": os.environ["PATH"], **environment},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = re.search(r"(?:port |127\.0\.0\.1:)(\d+)", done.stdout)
        assert found, done.stdout
        return found[1]

    assert port() == "6002"
    assert port(FLASK_ENV="development") == "6003"
    assert port(PORT="6004") == "6004"
    (clone / ".env.production").unlink()
    assert port() == "6001"

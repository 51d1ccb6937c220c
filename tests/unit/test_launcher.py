"""Installing, the first start, and how children are kept alive and ended."""

from __future__ import annotations

import importlib.util
import itertools
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from config import Settings
from launcher import first_start, install
from supervisor import Child, children_for, watch
from tests.conftest import skip_missing

ROOT = Path(__file__).resolve().parents[2]
KEY = "a key for tests, made of more than thirty-two characters"


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _make(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        skip_missing("make")
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True)


def test_make_lists_every_target_from_any_folder(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {
        name
        for name in re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()  # type: ignore[index]
        if not name.startswith("venv")
    }
    for arguments in (["-C", str(ROOT)], ["-f", str(ROOT / "Makefile")]):
        shown = _make(*arguments, folder=tmp_path)
        assert shown.returncode == 0
        assert {
            line.split()[1] for line in shown.stdout.splitlines() if "  make " in line
        } == targets


def test_make_without_a_python_says_what_to_install(tmp_path: Path) -> None:
    refused = _make("-C", str(ROOT), "PYTHON=", "run", folder=tmp_path)
    assert refused.returncode != 0
    assert "Python 3.11 or newer is missing" in refused.stderr
    assert "apt install python3" in refused.stderr


def test_install_without_venv_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert install.main(["requirements.txt"]) == 1
    assert "-venv" in capsys.readouterr().err


def test_install_runs_again_only_when_a_lock_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "VENV", tmp_path)
    (tmp_path / "lock.txt").write_text("one==1\n")
    assert not install._is_installed("lock.txt")
    install._stamp("lock.txt").write_text(install._hash("lock.txt"))
    assert install._is_installed("lock.txt")
    (tmp_path / "lock.txt").write_text("one==2\n")
    assert not install._is_installed("lock.txt")


def test_env_file_gets_a_key_of_its_own_and_is_kept(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".env.example", tmp_path)
    assert first_start.write_env_file(tmp_path)
    text = (tmp_path / ".env").read_text()
    assert re.search(r"^SECRET_KEY=[0-9a-f]{64}$", text, re.MULTILINE)
    assert text.count("\n") == (tmp_path / ".env.example").read_text().count("\n")
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    assert not first_start.write_env_file(tmp_path)
    assert (tmp_path / ".env").read_text() == text


def test_first_account_comes_from_the_settings_once(environment: dict[str, str]) -> None:
    admin = {"ADMIN_EMAIL": "owner@example.com", "ADMIN_PASSWORD": "a long password"}
    settings = Settings.from_env(environment | admin)
    address = "http://127.0.0.1:5000"
    assert first_start.account_lines(settings, address) == [
        "Made the account of owner@example.com."
    ]
    assert first_start.account_lines(settings, address) == []


def test_set_up_link_is_another_one_at_every_start(settings: Settings) -> None:
    links = {first_start.account_lines(settings, "http://127.0.0.1:5000")[0] for _ in range(2)}
    assert len(links) == 2


def test_child_that_dies_waits_longer_each_time() -> None:
    child = Child("a child", _python("raise SystemExit(3)"))
    now, starts = 0.0, []
    for _ in range(4):
        while child.process is None:
            child.step(now)
            now += 0.5
        starts.append(child.started_at)
        child.process.wait(60)
        child.step(now)
    waits = [after - before for before, after in itertools.pairwise(starts)]
    assert waits == sorted(waits)
    assert waits[-1] >= 2 * waits[0]
    assert child.wait <= 30


def test_child_that_is_not_wanted_is_not_started() -> None:
    child = Child("a child", _python("pass"), wanted=lambda: False)
    child.step(0)
    child.step(100)
    assert child.process is None


def test_children_end_in_reverse_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    open({log!r}, 'a').write({name!r})\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path({ready!r}).touch()\n"
        "time.sleep(60)\n"
    )
    children = [
        Child(name, _python(code.format(log=str(log), name=name, ready=str(tmp_path / name))))
        for name in ("1", "2", "3")
    ]
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(children, stop))
    thread.start()
    deadline = time.monotonic() + 60
    while not all((tmp_path / name).exists() for name in ("1", "2", "3")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stop.set()
    thread.join(60)
    assert log.read_text() == "321"


def test_child_that_will_not_end_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    child = Child("a child", _python(code), drain_seconds=0.2)
    child.step(0)
    assert child.process
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.stop()
    assert child.process.returncode == -9


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"EMAIL_BACKEND": "simulator"}, ["the simulator", "the scheduler"]),
        ({"EMAIL_BACKEND": "ses"}, ["the scheduler"]),
        ({"EMAIL_BACKEND": "simulator", "SCHEDULER": "external"}, ["the simulator"]),
        ({"EMAIL_BACKEND": "ses", "SCHEDULER": "external"}, []),
    ],
)
def test_settings_say_what_runs_beside_the_web(more: dict[str, str], names: list[str]) -> None:
    settings = Settings.from_env({"SECRET_KEY": KEY, **more})
    assert [child.name for child in children_for(settings)] == names

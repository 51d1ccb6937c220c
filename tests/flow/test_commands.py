"""A whole campaign from the command line, as a script or cron would run it, in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from ses_simulator.outcomes import Kind, Mix, plan

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 60


class Terminal:
    """Runs the product's commands in processes of their own."""

    def __init__(self, environment: dict[str, str]) -> None:
        unset = {name.upper(): "" for name in Settings.__dataclass_fields__}
        self._environment = {"PATH": os.environ["PATH"], **unset, **environment}

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """What `python ARGUMENTS` printed on stdout; its exit code must be `code`."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def flask(self, *arguments: str | Path) -> Any:
        """The JSON document of a command."""
        return json.loads(self.run("-m", "flask", "--app", "app", *arguments, "--json"))


@pytest.fixture
def terminal(database_url: str, simulator: object, environment: dict[str, str]) -> Terminal:
    """A terminal of an installation with its own database and simulator."""
    return Terminal(environment | {"MAX_EMAILS_PER_SECOND": "200"})


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A list in which every outcome of the simulator comes up."""
    special = ("success", "bounce", "softbounce", "complaint", "reject", "open", "click", "delay")
    lines = [f"{name}@simulator.amazonses.com,{name}" for name in special]
    lines += [f"person{number}@example.com,P{number}" for number in range(PEOPLE - len(special))]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["email,name", *lines]) + "\n")
    return path


def test_campaign_runs_from_the_command_line_to_its_last_event(
    terminal: Terminal, people: Path, tmp_path: Path
) -> None:
    html = tmp_path / "mail.html"
    html.write_text('<p>Hello {{ name }}</p><a href="{{ unsubscribe_url }}">Unsubscribe</a>')
    terminal.run("update_db_schema.py")
    made = terminal.flask("campaigns", "create", "--name", "June", "--subject", "Hi {{ name }}",
                          "--html", html)  # fmt: skip
    campaign_id = str(made["id"])
    imported = terminal.flask("campaigns", "import", campaign_id, people)
    assert (imported["added"], imported["columns"]) == (PEOPLE, ["name"])
    assert terminal.flask("campaigns", "launch", campaign_id)["status"] == "sending"

    terminal.run("scheduler.py", "--until-idle")

    status = terminal.flask("campaigns", "status", campaign_id)
    assert status["status"] == "sent"
    assert status["total"] == sum(status["counts"].values()) == PEOPLE
    happened = _planned(people)
    assert status["counts"]["bounced"] == happened["Bounce Permanent"]
    assert status["counts"]["complained"] == happened["Complaint"]
    assert status["counts"]["rejected"] == happened["Reject"]
    assert status["reached"]["accepted"] == PEOPLE
    assert not any(status["counts"][name] for name in ("pending", "sending", "in_doubt", "failed"))
    assert terminal.flask("campaigns", "recount", campaign_id)["matches"] is True

    suppressed = terminal.flask("suppressions", "list")["suppressions"]
    assert {entry["address"] for entry in suppressed if "example" in entry["address"]} == {
        line.partition(",")[0]
        for line in people.read_text().splitlines()[1:]
        if "example" in line and _says_no(line.partition(",")[0])
    }
    export = terminal.run("-m", "flask", "--app", "app", "campaigns", "export", campaign_id)
    assert len(export.splitlines()) == PEOPLE + 1


def test_scheduler_without_its_database_says_so_in_one_line(environment: dict[str, str]) -> None:
    unset = {name.upper(): "" for name in Settings.__dataclass_fields__}
    nowhere = {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}
    done = subprocess.run(
        [sys.executable, "scheduler.py", "--until-idle"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **unset, **environment, **nowhere},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "The database does not answer" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _says_no(address: str) -> bool:
    steps = {(step.kind, step.detail.partition("/")[0]) for step in plan(address, Mix())}
    return bool(
        {(Kind.BOUNCE, "Permanent"), (Kind.COMPLAINT, "abuse"), (Kind.UNSUBSCRIBE, "")} & steps
    )


def _planned(people: Path) -> Counter[str]:
    """What the simulator has in store for the list."""
    kinds: Counter[str] = Counter()
    for line in people.read_text().splitlines()[1:]:
        for step in plan(line.partition(",")[0], Mix()):
            kinds[step.kind.value] += 1
            if step.detail:
                kinds[f"{step.kind.value} {step.detail.partition('/')[0]}"] += 1
    return kinds

"""`suppressions import`, `export` and `compare` at the terminal, and domains among the entries."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aws.clients import AwsClients
from config import Settings
from tests.commands.conftest import Run, answered, refused


def listed(run: Run) -> set[str]:
    found = answered(run("suppressions", "list", "--json"))["suppressions"]
    return {entry["address"] for entry in found}


def test_domains_and_wildcards_are_entries_like_any_other(run: Run) -> None:
    made = answered(run("suppressions", "add", "*.Example.com", "--json"))
    assert made == {"address": "*@*.example.com", "added": True}
    assert answered(run("suppressions", "add", ".example.com", "--json"))["added"] is False
    assert listed(run) == {"*@*.example.com"}
    assert answered(run("suppressions", "remove", "*.example.com", "--json"))["removed"] is True
    assert listed(run) == set()
    assert "no domain that mail can go to" in refused(run("suppressions", "add", "*.com"))


def test_a_file_is_tried_then_read_in_and_written_out_again(run: Run, tmp_path: Path) -> None:
    path, back = tmp_path / "no.csv", tmp_path / "back.csv"
    path.write_text("email,reason\nana@example.com,BOUNCE\nexample.org,\nnobody,\n")
    tried = answered(run("suppressions", "import", path, "--dry-run", "--json"))
    assert listed(run) == set()
    done = answered(run("suppressions", "import", path, "--json"))
    figures = {"rows": 3, "added": 1, "domains": 1, "duplicates": 0, "refused_total": 1}
    assert {name: done[name] for name in figures} == figures
    assert tried == {**done, "dry_run": True}
    assert (done["refused"][0]["line"], done["refused"][0]["value"]) == (4, "nobody")
    assert listed(run) == {"ana@example.com", "*@example.org"}
    written = answered(run("suppressions", "export", "--output", back, "--json"))
    assert written == {"format": "csv", "output": str(back)}
    again = answered(run("suppressions", "import", back, "--json"))
    assert (again["duplicates"], again["rows"]) == (2, 2)
    assert "refused" in run("suppressions", "import", path).stdout


@pytest.fixture
def account(simulator: Any, settings: Settings) -> None:
    """An account whose list has one address that nobody here knows."""
    with closing(AwsClients(settings)) as clients:
        clients.ses.put_suppressed_destination(EmailAddress="zoe@example.net", Reason="BOUNCE")


@pytest.mark.usefixtures("account")
def test_the_lists_are_compared_and_brought_in_line_after_a_word(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "no.csv"
    path.write_text("email,reason\nana@example.com,bounced\nbo@example.com,unsubscribed\n")
    answered(run("suppressions", "import", path, "--json"))
    found = answered(run("suppressions", "compare", "--json"))
    assert (found["would_pull"], found["would_push"]) == (1, 1)
    assert found["only_here"] == {"bounced": 1, "unsubscribed": 1}
    assert run("suppressions", "compare", "--apply", "pull", input="n\n").exit_code == 1
    assert listed(run) == {"ana@example.com", "bo@example.com"}
    done = answered(run("suppressions", "compare", "--apply", "pull", "--yes", "--json"))
    assert done["pulled"] == 1
    assert "zoe@example.net" in listed(run)
    done = answered(run("suppressions", "compare", "--apply", "push", "--yes", "--json"))
    assert (done["pushed"], done["would_push"], done["there"]) == (1, 0, 2)
    assert "push would tell SES of" in run("suppressions", "compare").stdout


def test_a_denied_right_is_one_line(run: Run, simulator: Any) -> None:
    simulator.faults.deny = ["ListSuppressedDestinations"]
    assert "ses:ListSuppressedDestinations" in refused(run("suppressions", "compare", "--json"))

"""`lists create`, `list`, `import`, `verify` and `export` at the terminal, on both databases."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.commands.conftest import Run, answered, refused


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two people, one of them twice, and a row that is no address."""
    path = tmp_path / "people.csv"
    path.write_text(
        "email,First Name\nana@example.com,Ana\nbo@example.com,Bo\nANA@example.com,A\nno,x\n"
    )
    return path


def test_a_list_is_made_filled_listed_and_taken_along(
    run: Run, people: Path, tmp_path: Path
) -> None:
    made = answered(run("lists", "create", "Readers", "--description", "who read", "--json"))["id"]
    report = answered(run("lists", "import", made, people, "--json"))
    assert [report[name] for name in ("rows", "added", "duplicates", "refused_total")] == [
        4, 2, 1, 1,
    ]  # fmt: skip
    listed = {"id": made, "name": "Readers", "members": 2, "description": "who read"}
    assert answered(run("lists", "list", "--json")) == {"lists": [listed]}
    assert "Readers        2" in run("lists", "list").stdout
    target = tmp_path / "readers.csv"
    answered(run("lists", "export", made, "--output", target, "--json"))
    with target.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert {(row["email"], row["status"], row["first_name"]) for row in rows} == {
        ("ana@example.com", "subscribed", "Ana"), ("bo@example.com", "subscribed", "Bo"),
    }  # fmt: skip
    assert len(rows) == 2


def test_a_list_is_checked_and_says_how_many_got_each_verdict(run: Run, people: Path) -> None:
    made = answered(run("lists", "create", "Readers", "--json"))["id"]
    answered(run("lists", "import", made, people, "--json"))
    found = answered(run("lists", "verify", made, "--json"))
    assert set(found) == {"deliverable", "risky", "undeliverable", "unknown"}
    assert sum(found.values()) == 2
    assert "There is no list 77." in refused(run("lists", "verify", 77))


def test_what_can_not_be_done_is_one_line(run: Run, people: Path) -> None:
    answered(run("lists", "create", "Readers", "--json"))
    assert "already" in refused(run("lists", "create", "readers"))
    assert "There is no list 77." in refused(run("lists", "import", 77, people))
    assert "There is no list 77." in refused(run("lists", "export", 77))
    assert "There is no file" in refused(run("lists", "import", 1, "gone.csv"))
    assert "needs --output" in refused(run("lists", "export", 1, "--json"))


def test_without_lists_it_says_so(run: Run) -> None:
    assert run("lists", "list").stdout == "There is no list yet.\n"

"""`campaigns import`, `verify`, `test` and `export` at the terminal, on both databases."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from database import writing
from domain.statuses import CampaignStatus, Verdict
from models import Campaign, MailDomain, Recipient
from tests.commands.conftest import Run, answered, refused


@pytest.fixture
def draft(run: Run, html: Path) -> int:
    """A campaign without recipients."""
    made = run("campaigns", "create", "--name", "June", "--subject", "Hi {{ first_name }}",
               "--html", html, "--from-email", "club@example.org", "--json")  # fmt: skip
    return int(answered(made)["id"])


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A list with a duplicate, a suppressed address and one that is none."""
    path = tmp_path / "people.csv"
    path.write_text(
        "E-mail;First Name;City\n"
        "anna@example.com;Anna;Łódź\n"
        "ANNA@example.com;Anna again;\n"
        "no.thanks@example.org;Nora;Lisbon\n"
        "\n"
        "not an address;Nobody;Nowhere\n"
        "=cmd@example.com;'Eve;\n",
        encoding="utf-8",
    )
    return path


def test_import_says_what_became_of_every_row(
    run: Run, draft: int, people: Path, session: Session
) -> None:
    answered(run("suppressions", "add", "no.thanks@example.org", "--json"))
    document = answered(run("campaigns", "import", draft, people, "--json"))
    assert list(document) == [
        "rows", "added", "duplicates", "suppressed", "refused_total", "refused", "columns",
    ]  # fmt: skip
    assert document["rows"] == (
        document["added"]
        + document["duplicates"]
        + document["suppressed"]
        + document["refused_total"]
    )
    assert (document["duplicates"], document["suppressed"]) == (1, 1)
    refused_row = document["refused"][0]
    assert refused_row.keys() == {"line", "value", "reason"}
    assert (refused_row["line"], refused_row["value"]) == (6, "not an address")
    assert document["columns"] == ["first_name", "city"]
    status = answered(run("campaigns", "status", draft, "--json"))
    assert status["total"] == document["added"] + document["suppressed"]
    assert status["counts"]["skipped"] == 1
    words = run("campaigns", "import", draft, people).stdout
    assert "not an address" in words


def test_import_after_launch_is_refused(
    run: Run, draft: int, people: Path, session: Session
) -> None:
    with writing(session):
        session.get_one(Campaign, draft).status = CampaignStatus.SENDING
    refused(run("campaigns", "import", draft, people, "--json"))
    assert session.scalar(select(func.count()).select_from(Recipient)) == 0


def test_import_of_what_is_no_list_changes_nothing(
    run: Run, draft: int, tmp_path: Path, session: Session
) -> None:
    picture = tmp_path / "picture.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    refused(run("campaigns", "import", draft, picture, "--json"))
    refused(run("campaigns", "import", draft, tmp_path / "absent.csv", "--json"))
    refused(run("campaigns", "import", 99, picture, "--json"))
    assert session.scalar(select(func.count()).select_from(Recipient)) == 0


def test_test_mail_is_sent_and_never_counts(
    simulator: object, run: Run, draft: int, people: Path
) -> None:
    answered(run("campaigns", "import", draft, people, "--json"))
    before = answered(run("campaigns", "status", draft, "--json"))
    sent = answered(run("campaigns", "test", draft, "me@example.net", "--json"))
    assert sent == {"id": draft, "status": "sent"}
    assert answered(run("campaigns", "status", draft, "--json")) == before


def test_test_mail_that_cannot_be_sent_is_refused(run: Run, draft: int) -> None:
    assert "@" in refused(run("campaigns", "test", draft, "no address", "--json"))
    assert "99" in refused(run("campaigns", "test", 99, "me@example.net", "--json"))


def test_progress_goes_nowhere_when_nobody_watches(run: Run, draft: int, people: Path) -> None:
    result = run("campaigns", "import", draft, people, "--json")
    assert json.loads(result.stdout)
    assert result.stderr == ""


def test_verify_waits_and_counts_the_verdicts(
    run: Run, draft: int, people: Path, session: Session
) -> None:
    answered(run("campaigns", "import", draft, people, "--json"))
    with writing(session):
        for domain in ("example.com", "example.org"):
            session.add(
                MailDomain(
                    domain=domain,
                    verdict=Verdict.DELIVERABLE,
                    reason="It has mail servers.",
                    checked_at=datetime.now(UTC),
                )
            )
    document = answered(run("campaigns", "verify", draft, "--json"))
    assert list(document) == ["deliverable", "risky", "undeliverable", "unknown"]
    pending = answered(run("campaigns", "status", draft, "--json"))["counts"]["pending"]
    assert sum(document.values()) >= pending > 0
    assert document["unknown"] == 0
    refused(run("campaigns", "verify", 99, "--json"))


def test_export_writes_every_recipient_in_import_order(
    run: Run, draft: int, people: Path, tmp_path: Path, session: Session
) -> None:
    answered(run("campaigns", "import", draft, people, "--json"))
    stdout = run("campaigns", "export", draft)
    assert stdout.exit_code == 0
    rows = list(csv.reader(io.StringIO(stdout.stdout)))
    assert ",".join(rows[0]) == (
        "email,status,reason_code,reason,message_id,attempts,sent_at,delivered_at,bounced_at,"
        "complained_at,opened_at,clicked_at,first_name,city"
    )
    stored = session.scalars(select(Recipient.email).order_by(Recipient.id)).all()
    assert [row[0].lstrip("'") for row in rows[1:]] == list(stored)
    assert rows[1][-1] == "Łódź"

    target = tmp_path / "out.xlsx"
    written = run("campaigns", "export", draft, "--format", "xlsx", "--output", target)
    assert (written.exit_code, written.stdout) == (0, f"The export is in {target}.\n")
    sheet = openpyxl.load_workbook(target).worksheets[0]
    cells = [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)]
    assert cells[0] == rows[0]
    assert [row[0] for row in cells[1:]] == list(stored)  # text cells need no apostrophe


def test_export_that_cannot_be_written_is_refused(run: Run, draft: int, tmp_path: Path) -> None:
    refused(run("campaigns", "export", draft, "--output", tmp_path / "no" / "such" / "folder.csv"))
    refused(run("campaigns", "export", 99))
    assert not list(tmp_path.glob("*.part"))

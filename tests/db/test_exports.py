"""Exports: stable columns, import order, text that no spreadsheet runs."""

import csv
import io
from datetime import datetime, timedelta
from pathlib import Path

import openpyxl
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.rejects import defused
from domain.statuses import Fact, RecipientStatus, SuppressionReason
from models import Campaign, Recipient
from services import exports, suppression
from services.campaigns import NotFound, Refused
from services.recipients import import_file
from tests.factories import add_campaign, add_recipients

Sessions = sessionmaker[Session]


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    with writing(session):
        campaign = add_campaign(session, now, variables=["name", "status"])
        add_recipients(
            session, campaign, ["Zoe@example.com"], now,
            variables='{"name":"=1+1","status":"gold"}',
            message_id="m-1", sent_at=now, delivered_at=now + timedelta(seconds=90),
            attempts=1, facts=Fact.ACCEPTED | Fact.DELIVERED,
        )  # fmt: skip
        add_recipients(session, campaign, ["ana@example.com"], now, variables='{"name":"Ana"}')
    return campaign


def test_the_columns_are_those_that_programs_rely_on(
    sessions: Sessions, campaign: Campaign
) -> None:
    text = b"".join(exports.csv_pieces(exports.recipient_rows(sessions, campaign.id))).decode()
    assert exports.COLUMNS == (
        "email", "status", "reason_code", "reason", "message_id", "attempts", "sent_at",
        "delivered_at", "bounced_at", "complained_at", "opened_at", "clicked_at",
    )  # fmt: skip
    first = (
        "Zoe@example.com,delivered,,,m-1,1,2026-03-02T09:00:00Z,2026-03-02T09:01:30Z,,,,,'=1+1,gold"
    )
    assert text.splitlines() == [
        ",".join([*exports.COLUMNS, "name", "var_status"]),
        first,
        "ana@example.com,pending,,,,0,,,,,,,Ana,",
    ]


def test_one_state_can_be_exported(sessions: Sessions, campaign: Campaign) -> None:
    rows = list(exports.recipient_rows(sessions, campaign.id, status=RecipientStatus.PENDING))
    assert [row[0] for row in rows] == ["email", "ana@example.com"]


def test_a_workbook_holds_text_cells_only(
    sessions: Sessions, campaign: Campaign, tmp_path: Path
) -> None:
    path = tmp_path / "export.xlsx"
    rows = exports.recipient_rows(sessions, campaign.id)
    path.write_bytes(b"".join(exports.xlsx_pieces(rows)))
    sheet = openpyxl.load_workbook(path).active
    assert sheet is not None
    assert sheet["M2"].value == "=1+1"
    assert {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value} == {"s"}


def test_many_rows_come_once_each_in_import_order(
    sessions: Sessions, session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_CHUNK", 40)
    with writing(session):
        campaign = add_campaign(session, now)
        emails = [f"u{(number * 79) % 130}@example.com" for number in range(130)]
        add_recipients(session, campaign, emails, now)
    rows = list(exports.recipient_rows(sessions, campaign.id))
    assert [row[0] for row in rows[1:]] == emails


def test_no_transaction_is_open_between_two_chunks(
    sessions: Sessions,
    session: Session,
    campaign: Campaign,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exports, "_CHUNK", 40)
    with writing(session):
        more = [f"u{number}@example.com" for number in range(90)]
        add_recipients(session, campaign, more, now)
    rows = exports.recipient_rows(sessions, campaign.id)
    seen = [next(rows) for _ in range(10)]
    with writing(session):
        session.delete(session.scalars(select(Recipient).order_by(Recipient.id.desc())).first())
    assert len(seen) + len(list(rows)) == 1 + 2 + 90 - 1


def test_there_must_be_a_campaign_or_an_import(sessions: Sessions) -> None:
    with pytest.raises(NotFound):
        exports.recipient_rows(sessions, 99)
    with pytest.raises(Refused):
        exports.refused_rows(sessions, 99)


def test_refused_rows_come_in_their_own_columns_and_can_be_uploaded_again(
    sessions: Sessions, session: Session, now: datetime, tmp_path: Path
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, now).id
    path = tmp_path / "list.csv"
    path.write_text("Name,E-mail\nAna,ana@example.com\nBo,bo@example..com\nCy\n", "utf-8")
    report = import_file(sessions, campaign_id, path, "list.csv", clock=lambda: now)
    text = b"".join(exports.csv_pieces(exports.refused_rows(sessions, report.job_id))).decode()
    found = list(csv.reader(io.StringIO(text)))
    assert found[0] == ["Name", "E-mail", "why refused", "line"]
    assert found[1][:2] == ["Bo", "bo@example..com"]
    assert "bo@example.com" in found[1][2]
    assert found[2] == ["Cy", "", "There is no address.", "4"]
    path.write_text(text.replace("bo@example..com", "bo@example.com"), "utf-8")
    again = import_file(sessions, campaign_id, path, "list.csv", clock=lambda: now)
    assert (again.counts.added, again.counts.refused_total) == (1, 1)


def test_suppressions_are_exported(sessions: Sessions, session: Session, now: datetime) -> None:
    with writing(session):
        suppression.suppress(
            session, "ana@example.com", SuppressionReason.BOUNCED, "a test", 3, now, "a note"
        )
    assert list(exports.suppression_rows(sessions)) == [
        ["email", "reason", "source", "note", "campaign_id", "created_at"],
        ["ana@example.com", "bounced", "a test", "a note", "3", "2026-03-02T09:00:00Z"],
    ]


@pytest.mark.parametrize(
    ("cell", "written"),
    [("=1", "'=1"), ("+cmd", "'+cmd"), ("-x", "'-x"), ("@SUM(1)", "'@SUM(1)"), ("\t=1", "'\t=1"),
     ("+49 170 123", "+49 170 123"), ("-5.20", "-5.20"), ("a=1", "a=1"), ("", "")],
)  # fmt: skip
def test_only_formulas_are_defused(cell: str, written: str) -> None:
    assert defused(cell) == written


def test_payloads_of_attackers_are_all_defused(material: Path) -> None:
    for line in (material / "hostile/csv-injection.txt").read_text("utf-8").splitlines():
        assert not defused(line).startswith(("=", "+", "-", "@"))

"""Files read into the suppression list: tried first, then added, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import JobKind, JobStatus, SuppressionReason
from models import Job, SuppressedPattern, Suppression
from services import exports, job_queue, suppression, suppression_imports, uploads
from services.campaigns import Refused
from services.jobs import Dependencies, run_job
from services.recipients import ImportReport

Sessions = sessionmaker[Session]
Read = Callable[..., ImportReport]
FILE = """Name,E-Mail,Reason,Note
Ana,Ana@Example.com,bounce,asked twice
Bo,bo@example.org,Complaint,
Cy,not an address,,
Co,example.net,,all of them
Sub,*.example.net,unsubscribed,
Role,sales@*,whatever,
Ana,ana@example.com,,again
Everybody,*@*,,
"""


@pytest.fixture
def read(sessions: Sessions, tmp_path: Path, now: datetime) -> Read:
    """Reads a text as a file into the list, or tries to."""

    def _read(text: str, *, dry: bool = False, name: str = "no.csv") -> ImportReport:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return suppression_imports.import_file(sessions, path, name, dry=dry, clock=lambda: now)

    return _read


def entries(session: Session) -> dict[str | None, tuple[str, str | None]]:
    session.rollback()
    return {
        one.address: (one.reason.value, one.note) for one in session.scalars(select(Suppression))
    }


def test_addresses_domains_and_wildcards_come_in_with_reason_and_note(
    read: Read, session: Session
) -> None:
    report = read(FILE)
    assert entries(session) == {
        "ana@example.com": ("bounced", "asked twice"),
        "bo@example.org": ("complained", None),
        "*@example.net": ("imported", "all of them"),
        "*@*.example.net": ("unsubscribed", None),
        "sales@*": ("imported", None),
    }
    counts = report.counts
    assert (counts.rows, counts.added, counts.suppressed, counts.duplicates) == (8, 2, 3, 1)
    assert [(line.line, line.value) for line in report.refused] == [
        (4, "not an address"),
        (9, "*@*"),
    ]
    assert suppression.find(session, "x@eu.example.net") is not None
    source = session.scalars(select(Suppression.source).where(Suppression.id == 1)).one()
    assert source.startswith("no.csv, line ")


def test_a_dry_run_says_the_same_numbers_and_adds_nothing(
    read: Read, session: Session, now: datetime
) -> None:
    with writing(session):
        suppression.suppress(
            session, "bo@example.org", SuppressionReason.BOUNCED, "a test", None, now
        )
    tried = read(FILE, dry=True)
    assert set(entries(session)) == {"bo@example.org"}
    done = read(FILE)
    assert tried.counts == done.counts
    assert tried.refused == done.refused
    assert done.counts.duplicates == 2


def test_a_heavier_reason_of_the_file_replaces_a_lighter_one_and_never_the_reverse(
    read: Read, session: Session
) -> None:
    read("email,reason\nana@example.com,imported\nbo@example.com,complained\n")
    read("email,reason\nana@example.com,complained\nbo@example.com,imported\n")
    assert {reason for reason, _ in entries(session).values()} == {"complained"}


@pytest.mark.parametrize(
    "text",
    [
        "example.com\n*.example.org\nana@example.net\n",
        "Blocked domains\nexample.com\n*.example.org\nana@example.net\n",
        "Name;Domain\nA;example.com\nB;*.example.org\nC;ana@example.net\n",
    ],
)
def test_a_file_may_hold_mostly_domains_and_no_header(
    read: Read, session: Session, text: str
) -> None:
    assert read(text).counts.refused_total == 0
    assert set(entries(session)) == {"*@example.com", "*@*.example.org", "ana@example.net"}


def test_no_line_is_lost_without_a_word(read: Read) -> None:
    report = read("bob@\nstill no address\nana@example.com\n")
    assert [line.line for line in report.refused] == [1, 2]
    assert report.counts.added == 1


def test_our_own_export_comes_in_again_as_it_was(
    read: Read, session: Session, sessions: Sessions
) -> None:
    read(FILE)
    before = entries(session)
    text = b"".join(exports.csv_pieces(exports.suppression_rows(sessions))).decode()
    with writing(session):
        for address in before:
            suppression.unsuppress(session, address or "")
    read(text)
    assert entries(session) == before


def test_a_file_without_any_address_or_domain_is_refused(read: Read, session: Session) -> None:
    with pytest.raises(Refused, match="No column with e-mail addresses or domains"):
        read("name,town\nAna,Rome\n")
    assert session.scalars(select(Job.status)).one() is JobStatus.FAILED


def test_a_workbook_is_read_too(sessions: Sessions, tmp_path: Path, now: datetime) -> None:
    rows = iter([["email", "reason"], ["ana@example.com", "BOUNCE"], ["example.org", ""]])
    exports.write_xlsx(rows, tmp_path / "no.xlsx")
    report = suppression_imports.import_file(
        sessions, tmp_path / "no.xlsx", "no.xlsx", dry=False, clock=lambda: now
    )
    assert (report.counts.added, report.counts.suppressed) == (1, 1)


@pytest.mark.parametrize("dry", [True, False])
def test_an_upload_is_worked_on_in_the_background(
    dry: bool, sessions: Sessions, session: Session, settings: Any, tmp_path: Path, now: datetime
) -> None:
    path = tmp_path / "no.csv"
    path.write_text(FILE, "utf-8")
    with path.open("rb") as stream:
        upload_id = uploads.store(sessions, None, "no.csv", stream, now)
    with writing(session):
        suppression_imports.enqueue(session, upload_id, "no.csv", "a test", now, dry=dry)
    with writing(session):
        job = job_queue.claim_job(session, "w", now)
    assert job is not None
    assert job.kind is JobKind.SUPPRESS
    work = Dependencies(settings, lambda: pytest.fail("no mail"), lambda: datetime.now(UTC))
    assert run_job(sessions, job.id, "w", work) is JobStatus.DONE
    assert len(entries(session)) == (0 if dry else 5)
    assert (session.get_one(Job, job.id, populate_existing=True).result or {})["added"] == 2


def test_a_file_that_was_read_can_be_taken_back_as_a_whole(
    sessions: Sessions, session: Session, read: Read, now: datetime
) -> None:
    read("email\nearlier@example.com\n", name="first.csv")
    job_id = read(FILE + "Dan,dan@example.com,,\nEarly,earlier@example.com,,\n").job_id
    with writing(session):
        complained = SuppressionReason.COMPLAINED
        suppression.suppress(session, "dan@example.com", complained, "SES reported", None, now)
    assert suppression_imports.undo_import(sessions, job_id, now) == 5
    assert set(entries(session)) == {"earlier@example.com", "dan@example.com"}
    assert session.scalar(select(SuppressedPattern.key)) is None, "domains cover nobody any more"
    job = session.get_one(Job, job_id)
    assert job.error == "Undone: 5 that it had added were taken out again."
    assert suppression_imports.undo_import(sessions, job_id, now) == 0


def test_only_what_was_read_to_its_end_or_stopped_is_taken_back(
    sessions: Sessions, session: Session, read: Read, now: datetime
) -> None:
    tried = read(FILE, dry=True).job_id
    with writing(session):
        queued = suppression_imports.enqueue(session, 1, "no.csv", None, now, dry=False).id
    for job_id, words in ((tried, "no import"), (4711, "no import"), (queued, "still running")):
        with pytest.raises(Refused, match=words):
            suppression_imports.undo_import(sessions, job_id, now)

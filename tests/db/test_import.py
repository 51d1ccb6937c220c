"""Importing recipients: nothing lost, nothing twice, nobody who said no, exact after a crash."""

import csv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.addresses import address_hash
from domain.statuses import CampaignStatus, JobStatus, RecipientStatus, SuppressionReason
from models import Campaign, Job, Recipient, Suppression
from services import import_batches, recipients, suppression
from services.campaigns import NotFound, Refused
from services.installation import address_key_secret
from services.ledger import read_counters
from services.recipients import ImportOptions, ImportReport, import_file, undo_import
from services.recount import recount
from tests.factories import add_campaign

Sessions = sessionmaker[Session]


@pytest.fixture
def campaign_id(sessions: Sessions, now: datetime) -> int:
    with sessions() as session, writing(session):
        return add_campaign(session, now, variables=[]).id


@pytest.fixture
def load(sessions: Sessions, campaign_id: int, now: datetime, tmp_path: Path):
    def run(text: str, **options: object) -> ImportReport:
        path = tmp_path / "list.csv"
        path.write_text(text, "utf-8")
        return import_file(
            sessions, campaign_id, path, "list.csv", clock=lambda: now, **options  # type: ignore[arg-type]
        )  # fmt: skip

    return run


def rows_of(session: Session) -> list[Recipient]:
    return list(session.scalars(select(Recipient).order_by(Recipient.id)))


def test_the_answer_counts_every_row_once(
    load: Callable[..., ImportReport], session: Session
) -> None:
    report = load(
        "E-Mail,Name\nA@Example.com,Ana\nnonsense,x\na@example.com,again\n\nb@example.com,Bo\n"
    )
    assert report.as_json() == {
        "rows": 4,
        "added": 2,
        "duplicates": 1,
        "suppressed": 0,
        "refused_total": 1,
        "refused": [
            {"line": 3, "value": "nonsense", "reason": "This is no e-mail address: it has no @."}
        ],
        "columns": ["name"],
    }
    first, second = rows_of(session)
    assert (first.email, first.address, first.variables, first.line) == (
        "A@example.com", "a@example.com", '{"name":"Ana"}', 2
    )  # fmt: skip
    assert (second.email, second.status) == ("b@example.com", RecipientStatus.PENDING)
    assert first.address_hash == address_hash(address_key_secret(session), "a@example.com")


def test_counters_equal_a_recount(
    load: Callable[..., ImportReport], session: Session, campaign_id: int
) -> None:
    lines = "".join(f"u{n}@example.com,{n}\n" for n in range(1200))
    load(f"email,n\n{lines}{lines}x\n")
    counters = read_counters(session, campaign_id)
    assert counters["total"] == counters["pending"] == 1200
    assert counters == recount(session, campaign_id)


def test_suppressed_addresses_are_stored_as_skipped_with_the_reason(
    load: Callable[..., ImportReport], session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session):
        for reason, email in (
            (SuppressionReason.UNSUBSCRIBED, "gone@example.com"),
            (SuppressionReason.BOUNCED, "dead@example.com"),
        ):
            suppression.suppress(session, email, reason, "a test", None, now)
    report = load("email\nok@example.com\nGONE@example.com\ndead@example.com\nfine@example.com\n")
    assert (report.counts.added, report.counts.suppressed) == (2, 2)
    rows = rows_of(session)
    assert [row.email for row in rows] == [
        "ok@example.com", "GONE@example.com", "dead@example.com", "fine@example.com"
    ]  # fmt: skip
    assert [row.status.value for row in rows] == ["pending", "skipped", "skipped", "pending"]
    assert [row.reason_code for row in rows] == [None, "unsubscribed", "suppressed", None]
    assert rows[2].reason == "On the suppression list: an earlier mail bounced for good."
    assert read_counters(session, campaign_id) == recount(session, campaign_id)


def test_rows_whose_file_says_no_are_skipped_and_suppressed_for_good(
    load: Callable[..., ImportReport], session: Session
) -> None:
    report = load(
        "email,status\na@example.com,subscribed\nb@example.com,unsubscribed\n"
        "c@example.com,unconfirmed\nd@example.com,bounced\n"
    )
    assert (report.counts.added, report.counts.suppressed) == (1, 3)
    reasons = {row.email: row.reason for row in rows_of(session) if row.reason}
    assert reasons["b@example.com"] == "The file says “status: unsubscribed”."
    known = set(session.scalars(select(Suppression.address)))
    assert known == {"b@example.com", "d@example.com"}
    again = load("email\nb@example.com\n")
    assert again.counts.duplicates == 1


def test_a_second_list_adds_what_is_new_and_never_revives_anybody(
    load: Callable[..., ImportReport], session: Session, campaign_id: int, now: datetime
) -> None:
    load("email,name\na@example.com,Ana\n")
    with writing(session):
        suppression.suppress(
            session, "a@example.com", SuppressionReason.UNSUBSCRIBED, "link", campaign_id, now
        )
    report = load("mail,city\na@example.com,Rome\nc@example.com,Oslo\n")
    assert (report.counts.added, report.counts.duplicates) == (1, 1)
    assert session.get_one(Campaign, campaign_id).variables == ["name", "city"]
    assert [row.variables for row in rows_of(session)] == ['{"name":"Ana"}', '{"city":"Oslo"}']
    assert suppression.find(session, "a@example.com") is not None


@pytest.mark.parametrize(
    "status", [CampaignStatus.SENDING, CampaignStatus.SENT, CampaignStatus.CANCELLED]
)
def test_nobody_is_added_after_the_launch(
    load: Callable[..., ImportReport], session: Session, campaign_id: int, status: CampaignStatus
) -> None:
    with writing(session):
        session.get_one(Campaign, campaign_id).status = status
    with pytest.raises(Refused, match="before it is launched"):
        load("email\na@example.com\n")
    assert rows_of(session) == []


def test_a_launch_in_the_middle_ends_the_import_with_a_reason(
    load: Callable[..., ImportReport], sessions: Sessions, campaign_id: int, session: Session
) -> None:
    def launch(done: int, total: int | None) -> None:
        with sessions() as other, writing(other):
            other.get_one(Campaign, campaign_id).status = CampaignStatus.SENDING

    lines = "".join(f"u{n}@example.com\n" for n in range(5000))
    with pytest.raises(Refused, match="sending"):
        load(f"email\n{lines}", progress=launch)
    assert session.scalars(select(Job.status)).one() is JobStatus.FAILED
    assert read_counters(session, campaign_id) == recount(session, campaign_id)


def test_there_must_be_a_campaign(sessions: Sessions, now: datetime, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        import_file(sessions, 77, tmp_path / "x.csv", "x.csv", clock=lambda: now)


def test_a_file_that_cannot_be_read_changes_nothing(
    load: Callable[..., ImportReport], session: Session, campaign_id: int
) -> None:
    good = "".join(f"u{n}@example.com,x\n" for n in range(3000))
    with pytest.raises(Refused, match="No column"):
        load("name\nAna\n")
    with pytest.raises(Refused, match="columns"):
        load(f"email,name\n{good}wide@example.com{',' * 2000}\n")
    assert rows_of(session) == []
    assert read_counters(session, campaign_id)["total"] == 0


def test_a_stopped_import_goes_on_where_it_stopped(
    load: Callable[..., ImportReport],
    sessions: Sessions,
    session: Session,
    campaign_id: int,
    now: datetime,
    tmp_path: Path,
) -> None:
    steps: list[int] = []
    lines = "".join(f"u{n}@example.com\n" if n % 7 else f"broken{n}\n" for n in range(9000))
    text = f"email\n{lines}"
    report = load(
        text,
        progress=lambda done, total: steps.append(done),
        should_stop=lambda: len(steps) >= 2,
    )
    assert report.stopped
    assert 0 < report.counts.rows < 9000
    with writing(session):
        job = session.get_one(Job, report.job_id)
        job.status, job.worker = JobStatus.RUNNING, "second"
    run = recipients.ImportRun(sessions, report.job_id, "second", lambda: now)
    whole = run.do(campaign_id, tmp_path / "list.csv", "list.csv", ImportOptions())
    assert whole.counts.rows == 9000
    assert whole.counts.refused_total == len(range(0, 9000, 7))
    assert whole.counts.duplicates == 0
    assert len(rows_of(session)) == whole.counts.added == 9000 - whole.counts.refused_total
    assert read_counters(session, campaign_id) == recount(session, campaign_id)
    assert len(whole.refused) == 1000


def test_an_import_can_be_taken_back_as_a_whole(
    load: Callable[..., ImportReport],
    sessions: Sessions,
    session: Session,
    campaign_id: int,
    now: datetime,
) -> None:
    load("email\nfirst@example.com\n")
    lines = "".join(f"u{n}@example.com,ok\n" for n in range(1500))
    said = "no@example.com,unsubscribed\nlater@example.com,unsubscribed\n"
    second = load(f"email,status\n{lines}{said}first@example.com,ok\n")
    with writing(session):
        reason = SuppressionReason.COMPLAINED
        suppression.suppress(session, "later@example.com", reason, "SES reported", None, now)
    assert undo_import(sessions, second.job_id, now) == 1502
    assert [row.email for row in rows_of(session)] == ["first@example.com"]
    assert suppression.find(session, "no@example.com") is None
    assert suppression.find(session, "later@example.com") is not None, "complained since"
    assert read_counters(session, campaign_id) == recount(session, campaign_id)
    with writing(session):
        session.get_one(Campaign, campaign_id).status = CampaignStatus.SENDING
    with pytest.raises(Refused):
        undo_import(sessions, second.job_id, now)


def test_formulas_and_template_code_in_a_list_are_mere_text(
    load: Callable[..., ImportReport], session: Session, material: Path, tmp_path: Path
) -> None:
    payloads = [
        line
        for name in ("csv-injection.txt", "ssti.fuzz.txt")
        for line in (material / "hostile" / name).read_text("utf-8").splitlines()
        if line.strip()
    ]
    path = tmp_path / "hostile.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["email", "name"], *([f"u{n}@example.com", text] for n, text in enumerate(payloads))]
        )
    report = load(path.read_text("utf-8"))
    assert report.counts.added == len(payloads)
    stored = [row.variables for row in rows_of(session)]
    assert all(
        "49" not in text or "49" in payload for text, payload in zip(stored, payloads, strict=True)
    )


@pytest.fixture
def steps(engine) -> Iterator[list[int]]:
    """How many commits happened."""
    commits: list[int] = []
    listener = lambda connection: commits.append(1)  # noqa: E731 - removed again below
    event.listen(engine, "commit", listener)
    yield commits
    event.remove(engine, "commit", listener)


def test_rows_are_written_in_many_short_steps(
    load: Callable[..., ImportReport], steps: list[int]
) -> None:
    load("email\n" + "".join(f"u{n}@example.com\n" for n in range(9000)))
    assert len(steps) >= 5


def test_two_imports_into_one_campaign_at_once_add_everybody_once(
    sessions: Sessions, session: Session, campaign_id: int, now: datetime, tmp_path: Path
) -> None:
    paths = [tmp_path / "up.csv", tmp_path / "down.csv"]
    lines = [f"u{number}@example.com" for number in range(3000)]
    paths[0].write_text("\n".join(["email", *lines]))
    paths[1].write_text("\n".join(["email", *reversed(lines)]))
    with ThreadPoolExecutor(2) as pool:
        reports = list(
            pool.map(
                lambda path: import_file(sessions, campaign_id, path, path.name, clock=lambda: now),
                paths,
            )
        )
    assert sum(report.counts.added for report in reports) == 3000
    assert sum(report.counts.duplicates for report in reports) == 3000
    assert read_counters(session, campaign_id) == recount(session, campaign_id)


def test_an_import_that_the_database_breaks_off_leaves_nothing_behind(
    load: Callable[..., ImportReport], session: Session, campaign_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    real, written = import_batches.write, []

    def breaks(*arguments: Any) -> Any:
        written.append(real(*arguments))
        if len(written) > 2:
            raise OperationalError("INSERT", None, OSError("disk is full"))
        return written[-1]

    monkeypatch.setattr(import_batches, "write", breaks)
    monkeypatch.setattr(recipients, "_STEP_ON_POSTGRES", 300)
    with pytest.raises(OperationalError):
        load("E-mail\n" + "".join(f"p{n}@example.com\n" for n in range(2_000)))
    assert rows_of(session) == []
    assert read_counters(session, campaign_id)["total"] == 0
    job = session.scalars(select(Job)).one()
    assert (job.status, job.error) == (
        JobStatus.FAILED,
        "It was broken off; nothing of it is left.",
    )

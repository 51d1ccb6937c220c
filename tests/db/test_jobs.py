"""Background work: queued, claimed once, stopped, taken over from dead workers; uploads."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from database import epoch_now, writing
from domain.statuses import JobKind, JobStatus
from models import Job, Recipient, Upload, UploadChunk
from services import jobs, uploads
from services.campaigns import Refused
from services.jobs import Dependencies
from services.ledger import read_counters
from services.mail_domains import MxResolver
from services.recipients import import_file
from services.recount import recount
from tests.dns_server import Zones, dns_server
from tests.factories import add_campaign

Sessions = sessionmaker[Session]


@pytest.fixture
def campaign_id(sessions: Sessions, now: datetime) -> int:
    with sessions() as session, writing(session):
        return add_campaign(session, now, variables=[]).id


@pytest.fixture
def dependencies(settings, now: datetime) -> Dependencies:
    def no_mail() -> None:
        raise AssertionError("nothing here sends mail")

    return Dependencies(settings, no_mail, lambda: now)  # type: ignore[arg-type]


@pytest.fixture
def queue_import(sessions: Sessions, campaign_id: int, now: datetime) -> Callable[[str], int]:
    def queue(text: str) -> int:
        upload_id = uploads.store(
            sessions, campaign_id, "C:\\lists\\people.csv", io.BytesIO(text.encode()), now
        )
        with sessions() as session, writing(session):
            return jobs.enqueue(
                session, JobKind.IMPORT, campaign_id, upload_id, {"filename": "people.csv"},
                "ana@example.com", now,
            ).id  # fmt: skip

    return queue


def claim(sessions: Sessions, worker: str, now: datetime) -> int | None:
    with sessions() as session, writing(session):
        job = jobs.claim_job(session, worker, now)
        return job.id if job else None


def lines(count: int) -> str:
    return "email\n" + "".join(f"u{number}@example.com\n" for number in range(count))


def test_jobs_are_claimed_once_and_oldest_first(
    sessions: Sessions, queue_import: Callable[[str], int], now: datetime
) -> None:
    first, second = queue_import(lines(1)), queue_import(lines(1))
    assert [claim(sessions, worker, now) for worker in "abc"] == [first, second, None]


def test_an_uploaded_list_is_imported_in_the_background(
    sessions: Sessions,
    session: Session,
    queue_import: Callable[[str], int],
    dependencies: Dependencies,
    campaign_id: int,
    now: datetime,
) -> None:
    job_id = queue_import(lines(5000))
    assert claim(sessions, "w", now) == job_id
    assert jobs.run_job(sessions, job_id, "w", dependencies) is JobStatus.DONE
    job = session.get_one(Job, job_id)
    assert (job.done, job.total, job.finished_at) == (5000, 5000, now)
    assert job.result is not None
    assert job.result["added"] == 5000
    assert read_counters(session, campaign_id) == recount(session, campaign_id)


def test_an_unreadable_upload_fails_with_a_sentence(
    sessions: Sessions,
    session: Session,
    queue_import: Callable[[str], int],
    dependencies: Dependencies,
    now: datetime,
) -> None:
    job_id = queue_import("name\nAna\n")
    claim(sessions, "w", now)
    assert jobs.run_job(sessions, job_id, "w", dependencies) is JobStatus.FAILED
    assert "No column with e-mail addresses" in (session.get_one(Job, job_id).error or "")


def test_a_worker_that_leaves_puts_its_job_back_and_another_goes_on(
    sessions: Sessions,
    session: Session,
    queue_import: Callable[[str], int],
    settings,
    dependencies: Dependencies,
    campaign_id: int,
    now: datetime,
) -> None:
    job_id = queue_import(lines(9000))
    claim(sessions, "first", now)
    leaving = Dependencies(
        settings, dependencies.make_email_service, lambda: now, should_stop=lambda: True
    )
    assert jobs.run_job(sessions, job_id, "first", leaving) is JobStatus.QUEUED
    written = session.scalar(select(func.count()).select_from(Recipient)) or 0
    session.rollback()
    assert 0 < written < 9000
    assert claim(sessions, "second", now) == job_id
    assert jobs.run_job(sessions, job_id, "second", dependencies) is JobStatus.DONE
    assert read_counters(session, campaign_id)["total"] == 9000
    result = session.get_one(Job, job_id).result or {}
    assert (result["rows"], result["added"], result["duplicates"]) == (9000, 9000, 0)


def test_a_dead_workers_job_is_claimed_again_and_the_dead_one_writes_nothing_more(
    sessions: Sessions,
    session: Session,
    queue_import: Callable[[str], int],
    dependencies: Dependencies,
    campaign_id: int,
    now: datetime,
) -> None:
    job_id = queue_import(lines(10))
    claim(sessions, "dead", now)
    assert claim(sessions, "other", now) is None
    with writing(session):
        session.execute(update(Job).values(lease_until=epoch_now() - 1))
    assert claim(sessions, "other", now) == job_id
    assert jobs.run_job(sessions, job_id, "dead", dependencies) is JobStatus.RUNNING
    assert read_counters(session, campaign_id)["total"] == 0
    session.rollback()
    assert jobs.run_job(sessions, job_id, "other", dependencies) is JobStatus.DONE
    assert read_counters(session, campaign_id)["total"] == 10


def test_a_person_stops_a_job_and_lets_it_go_on(
    sessions: Sessions,
    session: Session,
    queue_import: Callable[[str], int],
    dependencies: Dependencies,
    now: datetime,
) -> None:
    waiting, running = queue_import(lines(3)), queue_import(lines(9000))
    with writing(session):
        jobs.request_stop(session, waiting, now)
    assert session.get_one(Job, waiting).status is JobStatus.STOPPED
    assert claim(sessions, "w", now) == running
    with writing(session):
        jobs.request_stop(session, running, now)
    assert jobs.run_job(sessions, running, "w", dependencies) is JobStatus.STOPPED
    with writing(session):
        assert jobs.resume(session, running)
    assert claim(sessions, "w", now) == running
    assert jobs.run_job(sessions, running, "w", dependencies) is JobStatus.DONE


def test_a_command_that_died_leaves_nothing_behind(
    sessions: Sessions,
    session: Session,
    dependencies: Dependencies,
    campaign_id: int,
    now: datetime,
    tmp_path: Path,
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(lines(9000))
    half = import_file(
        sessions, campaign_id, path, "list.csv", clock=lambda: now, should_stop=lambda: True
    )
    assert half.counts.added > 0
    with writing(session):
        running = {"status": JobStatus.RUNNING, "lease_until": epoch_now() - 1}
        session.execute(update(Job).values(running))
    assert claim(sessions, "w", now) == half.job_id
    assert jobs.run_job(sessions, half.job_id, "w", dependencies) is JobStatus.FAILED
    assert "interrupted" in (session.get_one(Job, half.job_id).error or "")
    assert read_counters(session, campaign_id)["total"] == 0
    assert session.scalar(select(func.count()).select_from(Recipient)) == 0


def test_a_verification_runs_in_the_background(
    sessions: Sessions,
    session: Session,
    settings,
    queue_import: Callable[[str], int],
    dependencies: Dependencies,
    campaign_id: int,
    now: datetime,
) -> None:
    queue_import(lines(30))
    job_id = claim(sessions, "w", now) or 0
    jobs.run_job(sessions, job_id, "w", dependencies)
    with writing(session):
        jobs.enqueue(session, JobKind.VERIFY, campaign_id, None, {}, None, now)
    with dns_server(Zones(any_mx=True)) as address:
        asking = Dependencies(
            settings,
            dependencies.make_email_service,
            lambda: now,
            make_resolver=lambda: MxResolver([address]),
        )
        verify_id = claim(sessions, "w", now) or 0
        assert jobs.run_job(sessions, verify_id, "w", asking) is JobStatus.DONE
    result = session.get_one(Job, verify_id).result or {}
    assert result["deliverable"] == 30


def test_an_upload_comes_back_byte_for_byte(
    sessions: Sessions, session: Session, now: datetime, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 5000
    upload_id = uploads.store(sessions, None, "x.csv", io.BytesIO(content), now)
    uploads.save_to(sessions, upload_id, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == content
    assert session.get_one(Upload, upload_id).size == len(content)
    assert session.scalar(select(func.count()).select_from(UploadChunk)) == 5


def test_too_large_and_empty_files_are_refused_and_leave_nothing(
    sessions: Sessions, session: Session, now: datetime
) -> None:
    with pytest.raises(Refused, match="too large"):
        uploads.store(sessions, None, "x", io.BytesIO(b"x"), now, announced=3 * 1024**3)
    with pytest.raises(Refused, match="too large"):
        uploads.store(sessions, None, "x", io.BytesIO(b"x" * 700_000), now, largest=600_000)
    with pytest.raises(Refused, match="empty"):
        uploads.store(sessions, None, "x", io.BytesIO(b""), now)
    assert session.scalar(select(func.count()).select_from(Upload)) == 0
    assert session.scalar(select(func.count()).select_from(UploadChunk)) == 0


def test_old_uploads_are_forgotten_unless_a_job_still_needs_them(
    sessions: Sessions, session: Session, queue_import: Callable[[str], int], now: datetime
) -> None:
    queue_import(lines(1))
    uploads.store(sessions, None, "old.csv", io.BytesIO(b"x"), now)
    with writing(session):
        assert uploads.forget_before(session, now + timedelta(days=1)) == 1
    assert session.scalars(select(Upload.filename)).all() == ["people.csv"]

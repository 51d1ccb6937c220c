"""Dry runs: the same verdict on every row as the import's, nothing stored, the same memory."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.statuses import CampaignStatus, JobKind, JobStatus, SuppressionReason
from models import Campaign, Job, Recipient, RefusedRow, Suppression
from services import dry_runs, job_queue, suppression
from services.campaigns import Refused
from services.dry_runs import DryRun, SeenAddresses
from services.recipients import ImportOptions, import_file
from tests.factories import add_campaign

Sessions = sessionmaker[Session]
_FIGURES = ("rows", "added", "duplicates", "suppressed", "refused_total")


@pytest.fixture
def campaign_id(sessions: Sessions, now: datetime) -> int:
    with sessions() as session, writing(session):
        return add_campaign(
            session, now, variables=[], subject="{{ name }}", html="{{ city }}", text="-"
        ).id


def try_out(
    sessions: Sessions, campaign_id: int, path: Path, now: datetime, **options: object
) -> Job:
    """Run a dry run as a scheduler would; its job."""
    with sessions() as session, writing(session):
        job = job_queue.start_here(session, JobKind.DRY_RUN, campaign_id, {}, None, "w", now)
        job_id = job.id
    run = DryRun(sessions, job_id, "w", lambda: now, **options)  # type: ignore[arg-type]
    run.do(campaign_id, path, "list.csv", ImportOptions())
    with sessions() as session:
        return session.get_one(Job, job_id)


def mixed_rows(count: int) -> str:
    """Addresses with repetitions, suppressed ones, refused ones, ones that say no."""
    dice = random.Random(5)
    lines = ["email,name,status"]
    for _ in range(count):
        number = dice.randrange(count)
        kind = dice.randrange(20)
        email = (
            ("none", "a b@example.com", "", "x@@example.com")[number % 4]
            if kind == 0
            else (f"{'READER' if kind % 2 else 'reader'}{number}@example.com")
        )
        lines.append(f"{email},{'Ida' if kind % 3 else ''},{'cleaned' if kind == 7 else 'ok'}")
    return "\n".join(lines)


def test_a_dry_run_counts_what_the_import_then_does(
    sessions: Sessions, campaign_id: int, now: datetime, tmp_path: Path
) -> None:
    with sessions() as session, writing(session):
        for number in range(0, 3000, 11):
            suppression.suppress(
                session, f"reader{number}@example.com", SuppressionReason.BOUNCED, "SES", None, now
            )
    before, path = tmp_path / "before.csv", tmp_path / "list.csv"
    before.write_text("email\n" + "".join(f"reader{n}@example.com\n" for n in range(0, 900, 7)))
    path.write_text(mixed_rows(3000))
    import_file(sessions, campaign_id, before, "before.csv", clock=lambda: now)
    tried = try_out(sessions, campaign_id, path, now)
    done = import_file(sessions, campaign_id, path, "list.csv", clock=lambda: now)
    result = tried.result or {}
    assert {name: result[name] for name in _FIGURES} == {
        name: getattr(done.counts, name) for name in _FIGURES
    }
    assert 0 < result["there"] < result["duplicates"]
    with sessions() as session:
        refused = [
            session.execute(
                select(RefusedRow.line, RefusedRow.value, RefusedRow.reason, RefusedRow.cells)
                .where(RefusedRow.job_id == job_id)
                .order_by(RefusedRow.line)
            ).all()
            for job_id in (tried.id, done.job_id)
        ]
    assert refused[0] == refused[1]
    assert sum(result["refusals"].values()) == result["refused_total"] == len(refused[0])


def test_a_dry_run_stores_nobody_and_suppresses_nobody(
    sessions: Sessions, campaign_id: int, now: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email,status\nida@example.com,ok\nleft@example.com,unsubscribed\n")
    job = try_out(sessions, campaign_id, path, now)
    assert (job.result or {})["said_no"] == 1
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Recipient)) == 0
        assert session.scalar(select(func.count()).select_from(Suppression)) == 0
        assert session.get_one(Campaign, campaign_id).variables == []


def test_empty_values_are_counted_for_those_who_would_get_the_mail(
    sessions: Sessions, campaign_id: int, now: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email,name\na@example.com,\nb@example.com,Bo\nA@example.com,\nbad,\n")
    result = try_out(sessions, campaign_id, path, now).result or {}
    assert result["missing"] == {"name": 1}
    assert result["absent"] == ["city"]


def test_a_dry_run_begins_anew_after_a_restart(
    sessions: Sessions, campaign_id: int, now: datetime, tmp_path: Path
) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email\n" + "".join(f"bad{n}\nreader{n}@example.com\n" for n in range(1500)))
    job = try_out(sessions, campaign_id, path, now, should_stop=lambda: True)
    assert job.status is JobStatus.STOPPED
    assert (job.result or {})["rows"] == 1000
    with sessions() as session, writing(session):
        job_queue.resume(session, job.id)
        assert job_queue.claim_job(session, "w", now) is not None
    DryRun(sessions, job.id, "w", lambda: now).do(campaign_id, path, "list.csv", ImportOptions())
    with sessions() as session:
        again = session.get_one(Job, job.id)
        assert again.status is JobStatus.DONE
        assert (again.result or {})["rows"] == 3000
        assert (again.result or {})["refused_total"] == 1500


def test_a_launched_campaign_takes_no_dry_run(
    sessions: Sessions, campaign_id: int, now: datetime, tmp_path: Path
) -> None:
    with sessions() as session, writing(session):
        session.get_one(Campaign, campaign_id).status = CampaignStatus.SENT
    path = tmp_path / "list.csv"
    path.write_text("email\nida@example.com\n")
    with pytest.raises(Refused, match="recipients can only be added before"):
        try_out(sessions, campaign_id, path, now)


def test_a_mail_that_cannot_be_compiled_uses_no_variables() -> None:
    assert dry_runs.variables_used(Campaign(subject="{{ name", html="", text="")) == ()


def test_addresses_are_new_once_within_a_block_and_between_blocks() -> None:
    seen = SeenAddresses()
    one, two, three = (bytes([n]) * 16 for n in range(3))
    assert seen.new_among([one, two, one]) == {0, 1}
    assert seen.new_among([two, three, three]) == {1}
    many = [number.to_bytes(16, "big") for number in range(10, 3000)]
    assert len(seen.new_among(many)) == len(many)
    assert seen.new_among(many) == set()
    seen.close()

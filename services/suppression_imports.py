"""Reads files into the suppression list, with the reader, the steps and the refused rows of every
other import; a dry run reads and judges all of it and adds nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from domain.addresses import AddressProblem, key_hash
from domain.file_problems import FileProblem
from domain.recipient_files import SAMPLE_ROWS, RecipientRow
from domain.statuses import JobKind, JobStatus, SuppressionReason
from domain.suppression_files import entry_of, find_columns, note_column, reason_column, reason_of
from domain.suppression_patterns import Pattern
from models import Job, RefusedRow, SuppressedPattern, Suppression
from services import job_queue, suppression, uploads
from services.campaigns import Refused
from services.dry_runs import SeenAddresses
from services.import_batches import Batch, Counts, Target, refused_row
from services.recipients import ImportOptions, ImportReport, ImportRun, note_undone, open_table

_INTERRUPTED = "The command that did this was interrupted. Run it anew: what is there stays."
_LONGEST_NOTE = 200
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(slots=True)
class SuppressionPlace:
    """The suppression list as the place where an import's rows go (services.import_places.Place).

    In its counts `suppressed` are domains and wildcards that are new, `added` new addresses.
    """

    seen: SeenAddresses | None  # a dry run remembers the file here, since it writes nothing
    reason_at: int | None = None
    note_at: int | None = None
    keys: dict[bytes, str] = field(default_factory=dict)  # of patterns, by the hash of their text
    campaign_id: None = None

    def hold(self, session: Session) -> None:
        """Nothing is locked: the list takes entries from everywhere at any time."""

    def take_variables(self, session: Session, names: Sequence[str]) -> None:
        """The list has no variables."""

    def prepare(self, rows: Sequence[RecipientRow], target: Target) -> Batch:
        """Judge rows: addresses, domains and wildcards, with why and from where."""
        batch = Batch(rows=len(rows))
        for row in rows:
            entry = None if row.fault else entry_of(row.value)
            if entry is None or isinstance(entry, AddressProblem):
                batch.refused.append(refused_row(row, target, str(entry or row.fault)))
                continue
            text = entry.text if isinstance(entry, Pattern) else entry.address
            hashed = key_hash(target.secret, text)
            if isinstance(entry, Pattern):
                self.keys[hashed] = entry.key
            at = self.note_at
            note = row.cells[at].strip() if at is not None and at < len(row.cells) else ""
            batch.said_no.append(
                {
                    "address_hash": hashed,
                    "address": text,
                    "reason": reason_of(row, self.reason_at),
                    "source": f"{target.filename}, line {row.line}",
                    "note": note[:_LONGEST_NOTE] or None,
                    "campaign_id": None,
                    "import_id": target.job_id,
                }
            )
        return batch

    def write(self, session: Session, batch: Batch, target: Target, now: datetime) -> Counts:
        """Add what is new, keep refused rows; a heavier reason replaces a lighter one."""
        first: dict[bytes, dict[str, Any]] = {}
        for one in batch.said_no:
            first.setdefault(one["address_hash"], one)
        known = suppression.suppressed_hashes(session, first.keys())
        new = [first[key] for key in sorted(first) if key not in known]  # no deadlocks
        if self.seen is not None:
            fresh = self.seen.new_among([one["address_hash"] for one in new])
            new = [one for place, one in enumerate(new) if place in fresh]
        elif new:
            rows = [{**one, "created_at": now} for one in new]
            session.execute(suppression.insert_new(session), rows)
            self._add_keys(session, new)
        if self.seen is None:
            for key in known:
                _raise(session, first[key], known[key], now)
        if batch.refused:
            session.execute(insert(RefusedRow), batch.refused)
        patterns = sum(one["address_hash"] in self.keys for one in new)
        return Counts(
            rows=batch.rows,
            added=len(new) - patterns,
            duplicates=len(batch.said_no) - len(new),
            suppressed=patterns,
            refused_total=len(batch.refused),
        )

    def _add_keys(self, session: Session, new: Sequence[dict[str, Any]]) -> None:
        hashes = [one["address_hash"] for one in new if one["address_hash"] in self.keys]
        for hashed in hashes:
            row = select(Suppression.id).where(Suppression.address_hash == hashed)
            key = SuppressedPattern(key=self.keys[hashed], suppression_id=session.scalar(row))
            session.merge(key)
        session.flush()


def _raise(session: Session, one: dict[str, Any], known: SuppressionReason, now: datetime) -> None:
    if suppression.is_heavier(one["reason"], known):
        text, reason, source = one["address"], one["reason"], one["source"]
        suppression.suppress(session, text, reason, source, None, now)


def enqueue(
    session: Session, upload_id: int, filename: str, by: str | None, now: datetime, *, dry: bool
) -> Job:
    """Queue the reading of an uploaded file."""
    parameters = {"filename": filename, "dry": dry}
    return job_queue.enqueue(session, JobKind.SUPPRESS, None, upload_id, parameters, by, now)


def import_file(
    sessions: sessionmaker[Session],
    path: Path,
    filename: str,
    *,
    dry: bool,
    clock: Callable[[], datetime],
    by: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Read a file in this process; raises Refused."""
    worker = f"import:{os.getpid()}"
    with sessions() as session, writing(session):
        parameters = {"filename": filename, "dry": dry}
        job_id = job_queue.start_here(
            session, JobKind.SUPPRESS, None, parameters, by, worker, clock()
        ).id
    run = ImportRun(sessions, job_id, worker, clock, progress, should_stop)
    return run_import(run, path, filename, dry=dry)


def undo_import(sessions: sessionmaker[Session], job_id: int, now: datetime) -> int:
    """Take back what a file added; how many entries that was. Whoever was on the list before, or
    has got a weightier reason since, stays."""
    with sessions() as session:
        job = session.get(Job, job_id)
        if job is None or job.kind is not JobKind.SUPPRESS or job.parameters.get("dry"):
            raise Refused(f"There is no import {job_id}.")
        if job.status in _ACTIVE:
            raise Refused("This import is still running: stop it first.")
    removed = suppression.withdraw_import(sessions, job_id)
    with sessions() as session, writing(session):
        note_undone(session, job_id, removed, now)
    return removed


def do_job(run: ImportRun, job: Job) -> None:
    """Do a claimed job. A dry run that was interrupted begins anew, an import goes on."""
    if job.upload_id is None:
        raise Refused(_INTERRUPTED)
    dry = bool(job.parameters.get("dry"))
    if dry:
        with run.sessions() as session, writing(session):
            session.execute(delete(RefusedRow).where(RefusedRow.job_id == job.id))
            job_queue.keep(session, job.id, run.worker, result=None, done=0)
    with tempfile.TemporaryDirectory(prefix="import-") as folder:
        path = Path(folder) / "upload"
        uploads.save_to(run.sessions, job.upload_id, path)
        run_import(run, path, str(job.parameters.get("filename", "file")), dry=dry)


def run_import(run: ImportRun, path: Path, filename: str, *, dry: bool) -> ImportReport:
    """Find the columns, then read all rows; raises Refused."""
    try:
        options, headers = _understand(path)
    except FileProblem as problem:
        with run.sessions() as session, writing(session):
            job_queue.finish(
                session, run.job_id, run.worker, JobStatus.FAILED, run.clock(), error=str(problem)
            )
        raise Refused(str(problem)) from problem
    with closing(SeenAddresses()) as seen:
        place = SuppressionPlace(
            seen if dry else None, reason_column(headers), note_column(headers)
        )
        return run.do(place, path, filename, options)


def _understand(path: Path) -> tuple[ImportOptions, Sequence[str]]:
    """How the file is to be read, and its headers."""
    with open_table(path, ImportOptions(header_line=0, email_column=0)) as table:
        sample = list(islice(table.rows, SAMPLE_ROWS))
    line, column = find_columns(sample)
    headers = next((row.cells for row in sample if line and row.line == line), [])
    return ImportOptions(header_line=line, email_column=column), headers


def latest_jobs(session: Session, limit: int = 5) -> list[Job]:
    """The newest files that were really read in, or are."""
    query = select(Job).where(Job.kind == JobKind.SUPPRESS, Job.status != JobStatus.FAILED)
    rows = session.scalars(query.order_by(Job.id.desc()).limit(4 * limit))
    return [job for job in rows if not job.parameters.get("dry")][:limit]

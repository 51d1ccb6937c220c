"""Files read into lists, with the reader, the steps and the answer of every other import."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact, ListImport, ListMember
from database import bulk_session, writing
from domain.file_problems import FileProblem
from domain.statuses import JobKind, JobStatus
from models import Job, RefusedRow
from services import job_queue, recipients, suppression, uploads
from services.campaigns import Refused
from services.list_members import ListPlace, drop_members, lock_list
from services.recipients import ImportOptions, ImportReport, ImportRun

_STEP = 400
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING)
_INTERRUPTED = (
    "The command that did this was interrupted; what it had added was taken out again. Run it anew."
)


def imports_of(session: Session, list_id: int, limit: int = 10) -> list[Job]:
    """The newest uploads of a list."""
    query = select(Job).join(ListImport, ListImport.job_id == Job.id)
    query = (
        query.where(ListImport.list_id == list_id, Job.kind == JobKind.IMPORT)
        .order_by(Job.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def list_of_job(session: Session, job_id: int) -> int | None:
    """Which list a job is about; None for one about a campaign."""
    return session.scalar(select(ListImport.list_id).where(ListImport.job_id == job_id))


def enqueue_import(
    session: Session, list_id: int, upload_id: int, filename: str, by: str | None, now: datetime
) -> Job:
    """Queue the import of an uploaded file into a list."""
    lock_list(session, list_id)
    parameters = {"filename": filename}
    job = job_queue.enqueue(session, JobKind.IMPORT, None, upload_id, parameters, by, now)
    session.add(ListImport(job_id=job.id, list_id=list_id))
    session.flush()
    return job


def import_file(
    sessions: sessionmaker[Session],
    list_id: int,
    path: Path,
    filename: str,
    *,
    clock: Callable[[], datetime],
    by: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Import a file into a list in this process; raises Refused."""
    worker = f"import:{os.getpid()}"
    with sessions() as session, writing(session):
        lock_list(session, list_id)
        parameters = {"filename": filename}
        job_id = job_queue.start_here(
            session, JobKind.IMPORT, None, parameters, by, worker, clock()
        ).id
        session.add(ListImport(job_id=job_id, list_id=list_id))
    run = ImportRun(sessions, job_id, worker, clock, progress, should_stop)
    try:
        return run_import(run, list_id, path, filename, ImportOptions())
    except DBAPIError:  # nobody else goes on with this one
        with suppress(DBAPIError):
            undo_rows(sessions, job_id, list_id)
            run.fail(_INTERRUPTED)
        raise


def do_job(run: ImportRun, job: Job, list_id: int) -> None:
    """Do a claimed import job of a list."""
    if job.upload_id is None:
        undo_rows(run.sessions, job.id, list_id)
        raise Refused(_INTERRUPTED)
    with tempfile.TemporaryDirectory(prefix="import-") as folder:
        path = Path(folder) / "upload"
        uploads.save_to(run.sessions, job.upload_id, path)
        filename = str(job.parameters.get("filename", "file"))
        run_import(run, list_id, path, filename, ImportOptions.from_parameters(job.parameters))


def run_import(
    run: ImportRun, list_id: int, path: Path, filename: str, options: ImportOptions
) -> ImportReport:
    """Do an import into a list; a file that is unreadable half-way leaves nothing behind."""
    try:
        return run.do(ListPlace(list_id), path, filename, options)
    except Refused as refused:
        if isinstance(refused.__cause__, FileProblem):
            undo_rows(run.sessions, run.job_id, list_id)
        raise


def undo_import(sessions: sessionmaker[Session], job_id: int, now: datetime) -> int:
    """Take back what one import added to its list; how many members that was."""
    with sessions() as session:
        job, list_id = session.get(Job, job_id), list_of_job(session, job_id)
        if job is None or list_id is None or job.kind is not JobKind.IMPORT:
            raise Refused(f"There is no import {job_id}.")
        if job.status in _ACTIVE:
            raise Refused("This import is still running: stop it first.")
    removed = undo_rows(sessions, job_id, list_id)
    with sessions() as session, writing(session):
        recipients.note_undone(session, job_id, removed, now)
    return removed


def undo_rows(sessions: sessionmaker[Session], job_id: int, list_id: int) -> int:
    """Delete an import's memberships in short steps, and the contacts that only it had made."""
    removed = after = 0
    with bulk_session(sessions) as session:
        while True:
            with writing(session):
                lock_list(session, list_id)
                rows = session.execute(
                    select(ListMember.contact_id, ListMember.import_id)
                    .where(ListMember.list_id == list_id, ListMember.contact_id > after)
                    .order_by(ListMember.contact_id)
                    .limit(_STEP)
                ).all()
                ours = [row.contact_id for row in rows if row.import_id == job_id]
                drop_members(session, list_id, ours)
                elsewhere = exists().where(ListMember.contact_id == Contact.id)
                session.execute(
                    delete(Contact)
                    .where(Contact.id.in_(ours), Contact.import_id == job_id, ~elsewhere)
                    .execution_options(synchronize_session=False)
                )
            removed += len(ours)
            if len(rows) < _STEP:
                break
            after = rows[-1].contact_id
        with writing(session):
            session.execute(delete(RefusedRow).where(RefusedRow.job_id == job_id))
    suppression.withdraw_import(sessions, job_id)
    return removed

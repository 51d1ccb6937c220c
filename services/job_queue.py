"""The queue of background work: who may do a job, how far it is, how it ended.

A job is done under a lease by the database's clock, so that a dead worker's job goes on with
another one. The work itself is in the services that services.jobs calls.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Table, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from database import epoch_now
from domain.statuses import JobKind, JobStatus
from models import Job

#: A worker that is silent for so long has lost its job (seconds, database time).
LEASE_SECONDS = 60.0

_JOBS = cast(Table, Job.__table__)


class JobLost(Exception):
    """The job belongs to another worker now, or is over: stop and write nothing more."""


def enqueue(
    session: Session,
    kind: JobKind,
    campaign_id: int | None,
    upload_id: int | None,
    parameters: dict[str, Any],
    by: str | None,
    now: datetime,
) -> Job:
    """Queue a job for whichever scheduler is free first."""
    job = Job(
        kind=kind,
        campaign_id=campaign_id,
        upload_id=upload_id,
        parameters=parameters,
        created_by=by,
        created_at=now,
    )
    session.add(job)
    session.flush()
    return job


def start_here(
    session: Session,
    kind: JobKind,
    campaign_id: int | None,
    parameters: dict[str, Any],
    by: str | None,
    worker: str,
    now: datetime,
) -> Job:
    """A job that this process does at once (a command), under a lease like any other."""
    job = enqueue(session, kind, campaign_id, None, parameters, by, now)
    _take(session, job.id, worker)
    session.refresh(job)
    return job


def claim_job(session: Session, worker: str, now: datetime) -> Job | None:
    """Take the oldest job that waits, or whose worker is dead; None if there is none."""
    free = or_(
        _JOBS.c.status == JobStatus.QUEUED,
        and_(_JOBS.c.status == JobStatus.RUNNING, _JOBS.c.lease_until < epoch_now()),
    )
    job_id = session.scalar(
        select(_JOBS.c.id).where(free).order_by(_JOBS.c.id).limit(1).with_for_update(
            skip_locked=True
        )
    )  # fmt: skip
    if job_id is None:
        return None
    _take(session, job_id, worker)
    return session.get(Job, job_id, populate_existing=True)


def _take(session: Session, job_id: int, worker: str) -> None:
    session.execute(
        update(_JOBS)
        .where(_JOBS.c.id == job_id)
        .values(
            status=JobStatus.RUNNING,
            worker=worker,
            lease_until=epoch_now() + LEASE_SECONDS,
        )
    )


def keep(session: Session, job_id: int, worker: str, **progress: Any) -> bool:
    """Renew the lease and note progress (`done`, `total`, `result`); True = a person says stop.

    In the transaction of the work it tells of. Raises JobLost if another worker has the job.
    """
    values = {"b_id": job_id, "b_worker": worker, **progress}
    row = session.connection().execute(_keep_statement(*sorted(progress)), values).one_or_none()
    if row is None:
        raise JobLost(f"job {job_id} is not {worker}'s any more")
    return bool(row.stop_requested)


@lru_cache
def _keep_statement(*columns: str) -> ReturningUpdate[Any]:
    """Made once for each set of columns: an import runs it for every few hundred rows."""
    return (
        update(_JOBS)
        .where(
            _JOBS.c.id == bindparam("b_id"),
            _JOBS.c.worker == bindparam("b_worker"),
            _JOBS.c.status == JobStatus.RUNNING,
        )
        .values(
            {
                "lease_until": epoch_now() + LEASE_SECONDS,
                **{name: bindparam(name) for name in columns},
            }
        )
        .returning(_JOBS.c.stop_requested)
    )


def finish(
    session: Session,
    job_id: int,
    worker: str,
    status: JobStatus,
    now: datetime,
    *,
    error: str | None = None,
    **progress: Any,
) -> None:
    """Note how a job ended. Raises JobLost if another worker has it."""
    keep(session, job_id, worker, **progress)
    session.execute(
        update(_JOBS)
        .where(_JOBS.c.id == job_id)
        .values(status=status, error=error, finished_at=now, lease_until=None)
    )


def request_stop(session: Session, job_id: int, now: datetime) -> None:
    """A person stops a job: at once if it waits, at its next step if it runs."""
    session.execute(
        update(_JOBS)
        .where(_JOBS.c.id == job_id, _JOBS.c.status == JobStatus.RUNNING)
        .values(stop_requested=True)
    )
    session.execute(
        update(_JOBS)
        .where(_JOBS.c.id == job_id, _JOBS.c.status == JobStatus.QUEUED)
        .values(status=JobStatus.STOPPED, stop_requested=True, finished_at=now)
    )


def resume(session: Session, job_id: int) -> bool:
    """Queue a stopped job again; it goes on where it stopped. False if it was not stopped."""
    done = session.execute(
        update(_JOBS)
        .where(_JOBS.c.id == job_id, _JOBS.c.status == JobStatus.STOPPED)
        .values(status=JobStatus.QUEUED, stop_requested=False, finished_at=None, worker=None)
        .returning(_JOBS.c.id)
    )
    return done.first() is not None

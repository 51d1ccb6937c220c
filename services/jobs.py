"""Does queued background work: imports, verifications, test mails. A scheduler calls `run_job`
with a job it has claimed; a job of a dead worker is claimed again and goes on where it stopped.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.statuses import JobKind, JobStatus, Verdict
from email_service import EmailService
from models import Job
from services import (
    account_list,
    dry_runs,
    job_queue,
    recipients,
    suppression_imports,
    test_mails,
    uploads,
    verification,
)
from services.address_insights import Asker
from services.campaigns import Refused
from services.job_queue import (
    LEASE_SECONDS,
    JobLost,
    claim_job,
    enqueue,
    request_stop,
    resume,
)
from services.list_imports import do_job as do_list_import
from services.list_imports import list_of_job
from services.mail_domains import MxResolver
from services.verified_people import CampaignPeople, ListPeople, People

__all__ = ["Dependencies", "JobLost", "claim_job", "enqueue", "request_stop", "resume", "run_job"]

logger = logging.getLogger(__name__)

_INTERRUPTED = (
    "The command that did this was interrupted; what it had added was taken out again. Run it anew."
)
_BROKEN = "This failed for a reason of the program's own ({error}). The log has the details."


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What jobs need of the outside; the service is made when a test mail needs one."""

    settings: Settings
    make_email_service: Callable[[], EmailService]
    clock: Callable[[], datetime]
    make_resolver: Callable[[], MxResolver] = MxResolver
    should_stop: Callable[[], bool] = lambda: False


def run_job(
    sessions: sessionmaker[Session], job_id: int, worker: str, dependencies: Dependencies
) -> JobStatus:
    """Do a job that `worker` has claimed; its status afterwards.

    Every way it can end is written down with the job. If `should_stop` ends it (the worker is
    about to exit) the job is queued again and goes on from there.
    """
    try:
        with _kept_alive(sessions, job_id, worker):
            _do(sessions, job_id, worker, dependencies)
    except JobLost:
        logger.warning("job %d was taken over by another worker", job_id)
    except Refused as refused:
        _end(sessions, job_id, worker, str(refused), dependencies.clock())
    except Exception as error:
        logger.exception("job %d failed", job_id)
        sentence = _BROKEN.format(error=type(error).__name__)
        _end(sessions, job_id, worker, sentence, dependencies.clock())
    return _settle(sessions, job_id)


def _do(
    sessions: sessionmaker[Session], job_id: int, worker: str, dependencies: Dependencies
) -> None:
    with sessions() as session:
        job = session.get_one(Job, job_id)
        list_id = list_of_job(session, job_id)
    if job.kind is JobKind.VERIFY:
        people = CampaignPeople(job.campaign_id) if job.campaign_id else ListPeople(list_id or 0)
        _verify(sessions, job, people, worker, dependencies)
    elif list_id is not None:
        run = recipients.ImportRun(
            sessions, job_id, worker, dependencies.clock, should_stop=dependencies.should_stop
        )
        do_list_import(run, job, list_id)
    elif job.kind is JobKind.IMPORT:
        _import(sessions, job, worker, dependencies)
    elif job.kind is JobKind.DRY_RUN and job.campaign_id is not None:
        with _uploaded(sessions, job) as path:
            dry_runs.DryRun(
                sessions, job_id, worker, dependencies.clock, should_stop=dependencies.should_stop
            ).do(job.campaign_id, path, *_file_facts(job))
    elif job.kind is JobKind.SUPPRESS:
        suppression_imports.do_job(
            recipients.ImportRun(
                sessions, job_id, worker, dependencies.clock, should_stop=dependencies.should_stop
            ),
            job,
        )
    elif job.kind is JobKind.ACCOUNT_LIST:
        account_list.do_job(
            sessions, job, worker, dependencies.settings, dependencies.clock,
            dependencies.should_stop,
        )  # fmt: skip
    elif job.kind is JobKind.TEST_MAIL:
        sent = test_mails.run(
            sessions,
            int(job.parameters["test_mail_id"]),
            settings=dependencies.settings,
            service=dependencies.make_email_service(),
            as_recipient=job.parameters.get("as_recipient"),
            in_bulk=bool(job.parameters.get("in_bulk")),
        )
        with sessions() as session, writing(session):
            result = {"status": sent.status, "detail": sent.detail}
            job_queue.finish(
                session, job_id, worker, JobStatus.DONE, dependencies.clock(), result=result
            )


def _verify(
    sessions: sessionmaker[Session],
    job: Job,
    people: People,
    worker: str,
    dependencies: Dependencies,
) -> None:
    ask_for = frozenset(Verdict(name) for name in job.parameters.get("ask_ses", ()))
    with closing(AwsClients(dependencies.settings)) as clients:
        verification.VerificationRun(
            sessions,
            job.id,
            worker,
            dependencies.make_resolver(),
            dependencies.clock,
            should_stop=dependencies.should_stop,
            asker=Asker(clients.ses) if ask_for else None,
            ask_for=ask_for,
        ).do(people)


def _import(
    sessions: sessionmaker[Session], job: Job, worker: str, dependencies: Dependencies
) -> None:
    if job.upload_id is None or job.campaign_id is None:
        recipients.undo_rows(sessions, job.id)
        raise Refused(_INTERRUPTED)
    with _uploaded(sessions, job) as path:
        recipients.ImportRun(
            sessions,
            job.id,
            worker,
            dependencies.clock,
            should_stop=dependencies.should_stop,
        ).do(job.campaign_id, path, *_file_facts(job))


@contextmanager
def _uploaded(sessions: sessionmaker[Session], job: Job) -> Iterator[Path]:
    """The job's file on this machine while it is worked on."""
    with tempfile.TemporaryDirectory(prefix="import-") as folder:
        path = Path(folder) / "upload"
        uploads.save_to(sessions, job.upload_id or 0, path)
        yield path


def _file_facts(job: Job) -> tuple[str, recipients.ImportOptions]:
    """What the file is called, and how a person said it is to be read."""
    filename = str(job.parameters.get("filename", "file"))
    return filename, recipients.ImportOptions.from_parameters(job.parameters)


@contextmanager
def _kept_alive(sessions: sessionmaker[Session], job_id: int, worker: str) -> Iterator[None]:
    """Renews the lease beside the work, which may read or wait for longer than a lease."""
    over = threading.Event()

    def renew() -> None:
        while not over.wait(LEASE_SECONDS / 4):
            with suppress(JobLost), sessions() as session, writing(session):
                job_queue.keep(session, job_id, worker)

    thread = threading.Thread(target=renew, name=f"job-{job_id}-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _end(
    sessions: sessionmaker[Session], job_id: int, worker: str, sentence: str, now: datetime
) -> None:
    """Note a failure, unless the job is over (or gone) already."""
    with suppress(JobLost), sessions() as session, writing(session):
        job_queue.finish(session, job_id, worker, JobStatus.FAILED, now, error=sentence)


def _settle(sessions: sessionmaker[Session], job_id: int) -> JobStatus:
    """The final status; a job that only this worker's exit stopped is queued again."""
    with sessions() as session, writing(session):
        job = session.get(Job, job_id)
        if job is None:
            return JobStatus.STOPPED
        if job.status is JobStatus.STOPPED and not job.stop_requested:
            job_queue.resume(session, job_id)
            return JobStatus.QUEUED
        return job.status

"""The upload of a file by a form: stored in steps, queued once however often the form is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import flash, request
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from sqlalchemy.orm import Session

from database import writing
from domain.statuses import JobKind, JobStatus
from models import Job, Upload
from services import job_queue, uploads
from web import once
from web.context import now
from web.database import session, wiring

#: The largest upload through the browser, in bytes; larger files go through the command line.
LARGEST = 500 * 1000**2


class FileForm(FlaskForm):
    """One file."""

    file = FileField("File", validators=[FileRequired("Choose a file first.")])


def take(form: Any, campaign_id: int | None, queue: Callable[[Session, int, str], str]) -> str:
    """Store the form's file and have `queue` (upload id, file name) make what follows; the address
    of that, also for a form that was sent before. Raises Refused for a file that is too large."""
    key, name = request.form.get("once"), (form.file.data.filename or "file")[-255:]
    session().rollback()  # the file is stored in steps of its own
    upload_id = uploads.store(
        wiring().sessions, campaign_id, name, form.file.data.stream, now(), largest=LARGEST
    )
    with writing(session()) as db:
        page = once.take(db, key, now())
        if page is not None:
            uploads.remove(db, upload_id)
            return page
        page = queue(db, upload_id, name)
        once.keep(db, key, page)
    return page


def can_go_on(job: Job) -> bool:
    """Whether a stopped import may be taken up again: its file is still kept."""
    stopped = job.kind is JobKind.IMPORT and job.status is JobStatus.STOPPED
    undone = "undone" in (job.result or {})
    return stopped and not undone and session().get(Upload, job.upload_id or 0) is not None


def go_on(job: Job) -> None:
    """Queue a stopped import again, or say why it cannot go on."""
    with writing(session()) as db:
        resumed = can_go_on(job) and job_queue.resume(db, job.id)
    if not resumed:
        flash("This import cannot go on: upload the file again. Who is there already counts once.")

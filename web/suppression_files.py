"""Files for the suppression list: uploaded, tried, then read in, with an answer for every row."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.statuses import JobKind, JobStatus
from models import Job
from services import exports, job_queue, recipients, suppression_imports
from services.campaigns import Refused
from web import once
from web.context import now
from web.database import session, wiring
from web.exports import download
from web.file_uploads import LARGEST, FileForm, take
from web.formatting import count
from web.live import live_response

blueprint = Blueprint("suppression_files", __name__, url_prefix="/suppressions/files")
_RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)


@blueprint.route("/", methods=["GET", "POST"])
def upload() -> str | tuple[str, int] | AnyResponse:
    """Take a file and queue the trial of it."""
    form = FileForm()
    if form.validate_on_submit():
        try:
            return redirect(take(form, None, _try), code=303)
        except Refused as refusal:
            form.file.errors = [str(refusal)]
    page = render_template(
        "suppressions/upload.html", form=form, largest=LARGEST,
        jobs=suppression_imports.latest_jobs(session()),
    )  # fmt: skip
    return page, 400 if form.errors else 200


def _try(db: Session, upload_id: int, name: str) -> str:
    by = current_user.email
    job = suppression_imports.enqueue(db, upload_id, name, by, now(), dry=True)
    return url_for(".show", job_id=job.id)


@blueprint.get("/<int:job_id>")
def show(job_id: int) -> str:
    """A trial or the reading of a file: its progress, then its answer."""
    return render_template("suppressions/file.html", **_state(job_id))


@blueprint.get("/<int:job_id>/progress")
def progress(job_id: int) -> Response:
    """The part of that page which changes while it runs."""
    state = _state(job_id)
    return live_response(render_template("suppressions/_file.html", **state), int(state["running"]))


@blueprint.post("/<int:job_id>/add")
def add(job_id: int) -> AnyResponse:
    """Read the file in that was tried; pressed twice it is read once."""
    tried = _job(job_id)
    if not tried.parameters.get("dry") or tried.status in _RUNNING or tried.upload_id is None:
        flash("This file was not tried to its end.", "error")
        return redirect(url_for(".show", job_id=job_id), code=303)
    with writing(session()) as db:
        page = once.take(db, request.form.get("once"), now())
        if page is None:
            name, by = str(tried.parameters.get("filename", "file")), current_user.email
            job = suppression_imports.enqueue(db, tried.upload_id, name, by, now(), dry=False)
            page = url_for(".show", job_id=job.id)
            once.keep(db, request.form.get("once"), page)
    return redirect(page, code=303)


@blueprint.post("/<int:job_id>/stop")
def stop(job_id: int) -> AnyResponse:
    """Stop it; what was added so far stays."""
    with writing(session()) as db:
        job_queue.request_stop(db, _job(job_id).id, now())
    return redirect(url_for(".show", job_id=job_id), code=303)


@blueprint.route("/<int:job_id>/undo", methods=["GET", "POST"])
def undo(job_id: int) -> str | AnyResponse:
    """Take back what a file added, after a page that says what that means."""
    job = _job(job_id)
    if request.method == "GET":
        return render_template("suppressions/undo.html", **_state(job.id))
    session().rollback()
    removed = suppression_imports.undo_import(wiring().sessions, job_id, now())
    flash(f"Undone: {count(removed, 'entry', 'entries')} taken off the list again.")
    return redirect(url_for("suppressions.index"), code=303)


@blueprint.get("/<int:job_id>/rejects")
def rejects(job_id: int) -> Response:
    """The refused rows with the reason, to be mended and uploaded again."""
    job = _job(job_id)
    return download(exports.refused_rows(wiring().sessions, job.id), f"refused rows {job.id}")


def _job(job_id: int) -> Job:
    job = session().get(Job, job_id)
    if job is None or job.kind is not JobKind.SUPPRESS:
        abort(404)
    return job


def _state(job_id: int) -> dict[str, Any]:
    job = _job(job_id)
    running = job.status in _RUNNING
    undone = "undone" in (job.result or {})
    finished = not running and not undone and job.status is not JobStatus.FAILED
    return {
        "job": job,
        "dry": bool(job.parameters.get("dry")),
        "filename": str(job.parameters.get("filename") or f"upload {job.id}"),
        "running": running,
        "failed": job.status is JobStatus.FAILED or undone,
        "undone": undone,
        "report": recipients.report(session(), job_id) if finished else None,
    }

"""Upload Recipients: take a file, follow the import, show its answer row by row, undo it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from flask_wtf.file import FileField, FileRequired
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.refusal_kinds import RefusalKind
from domain.statuses import JobKind, JobStatus
from models import Job, RefusedRow
from services import exports, job_queue, recipients
from services.campaigns import EDITABLE, Refused, get_campaign
from services.dry_runs import begins_with
from services.ledger import read_counters
from services.recipient_removal import remove_all
from web.context import now
from web.database import session, wiring
from web.exports import download
from web.file_uploads import LARGEST, FileForm, can_go_on, go_on, take
from web.formatting import count, number
from web.input import row_number
from web.live import live_response

blueprint = Blueprint("imports", __name__, url_prefix="/campaigns/<int:campaign_id>/recipients")
_ROWS = 50
_RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)
_TEMPLATES = {JobKind.IMPORT: "import", JobKind.DRY_RUN: "dry_run"}
#: A job that waits longer than this (seconds) has no scheduler that would take it.
_SLOW_START = 10


class UploadForm(FileForm):
    """One recipient file."""

    file = FileField("Recipient file", validators=[FileRequired("Choose a file first.")])


@blueprint.route("/upload", methods=["GET", "POST"])
def upload(campaign_id: int) -> str | tuple[str, int] | AnyResponse:
    """Take a file and queue its import."""
    form = UploadForm()
    campaign = get_campaign(session(), campaign_id)
    if campaign.status not in EDITABLE:
        flash("This campaign has been launched: nobody can be added to it.", "error")
        return redirect(url_for("campaigns.show", campaign_id=campaign_id), code=303)
    if not form.validate_on_submit():
        return _upload_page(campaign_id, form), 400 if form.errors else 200

    def queue(db: Session, upload_id: int, name: str) -> str:
        if request.form.get("do") == "look":
            return url_for("import_steps.look", campaign_id=campaign_id, upload_id=upload_id)
        by, facts = current_user.email, {"filename": name}
        job = job_queue.enqueue(db, JobKind.IMPORT, campaign_id, upload_id, facts, by, now())
        return url_for(".show", campaign_id=campaign_id, job_id=job.id)

    try:
        page = take(form, campaign_id, queue)
    except Refused as refusal:
        form.file.errors = [str(refusal)]
        return _upload_page(campaign_id, form), 400
    return redirect(page, code=303)


@blueprint.get("/imports/<int:job_id>")
def show(campaign_id: int, job_id: int) -> str:
    """An import or a dry run: its progress, then its answer."""
    state = _state(campaign_id, job_id)
    return render_template(f"imports/{_TEMPLATES[state['job'].kind]}.html", **state)


@blueprint.get("/imports/<int:job_id>/progress")
def progress(campaign_id: int, job_id: int) -> Response:
    """The part of that page which changes while it runs."""
    state = _state(campaign_id, job_id)
    template = f"imports/{_TEMPLATES[state['job'].kind]}_live.html"
    return live_response(render_template(template, **state), int(state["running"]))


@blueprint.get("/imports/<int:job_id>/rejects")
def rejects(campaign_id: int, job_id: int) -> Response:
    """The refused rows in their own columns with the reason, to be mended and uploaded again."""
    job = _job(campaign_id, job_id)
    rows = exports.refused_rows(wiring().sessions, job.id)
    return download(rows, f"{_filename(job).rpartition('.')[0] or _filename(job)} refused")


@blueprint.post("/imports/<int:job_id>/stop")
def stop(campaign_id: int, job_id: int) -> AnyResponse:
    """Stop an import; what it added so far stays, and can be undone."""
    job = _job(campaign_id, job_id)
    with writing(session()) as db:
        job_queue.request_stop(db, job.id, now())
    return redirect(url_for(".show", campaign_id=campaign_id, job_id=job_id), code=303)


@blueprint.post("/imports/<int:job_id>/resume")
def resume(campaign_id: int, job_id: int) -> AnyResponse:
    """Take up a stopped import where it stopped."""
    go_on(_job(campaign_id, job_id))
    return redirect(url_for(".show", campaign_id=campaign_id, job_id=job_id), code=303)


@blueprint.route("/imports/<int:job_id>/undo", methods=["GET", "POST"])
def undo(campaign_id: int, job_id: int) -> str | AnyResponse:
    """Take back what one import added, after a page that says what that is."""
    job = _job(campaign_id, job_id)
    if job.kind is not JobKind.IMPORT:
        abort(404)
    report = job.result or {}
    if request.method == "GET":
        kept = report.get("added", 0) + report.get("suppressed", 0)
        return render_template(
            "imports/confirm.html",
            campaign=get_campaign(session(), campaign_id),
            title=f"Undo the import of {_filename(job)}?",
            sentence=f"{count(kept, 'recipient')} that this file brought "
            f"{'is' if kept == 1 else 'are'} taken out again. Earlier ones stay, and so does "
            "the suppression list, except for what this very file put on it.",
            action=url_for(".undo", campaign_id=campaign_id, job_id=job_id),
            deed="Undo this import",
            back=url_for(".show", campaign_id=campaign_id, job_id=job_id),
        )
    session().rollback()
    removed = recipients.undo_import(wiring().sessions, job_id, now())
    flash(f"Undone: {count(removed, 'recipient')} taken out again.")
    return redirect(url_for(".upload", campaign_id=campaign_id), code=303)


@blueprint.route("/clear", methods=["GET", "POST"])
def clear(campaign_id: int) -> str | AnyResponse:
    """Remove all recipients of a draft, after a page that says so."""
    if request.method == "GET":
        total = read_counters(session(), campaign_id)["total"]
        return render_template(
            "imports/confirm.html",
            campaign=get_campaign(session(), campaign_id),
            title=f"Remove all {count(total, 'recipient')}?",
            sentence="The campaign is empty afterwards and you can upload another list. The "
            "suppression list keeps what it knows.",
            action=url_for(".clear", campaign_id=campaign_id),
            deed=f"Remove {count(total, 'recipient')}",
            back=url_for("campaigns.show", campaign_id=campaign_id),
        )
    session().rollback()
    removed = remove_all(wiring().sessions, campaign_id, now())
    flash(f"{count(removed, 'recipient')} removed.")
    return redirect(url_for(".upload", campaign_id=campaign_id), code=303)


def _upload_page(campaign_id: int, form: UploadForm) -> str:
    jobs = session().scalars(
        select(Job)
        .where(Job.campaign_id == campaign_id, Job.kind == JobKind.IMPORT)
        .order_by(Job.id.desc())
        .limit(10)
    )
    return render_template(
        "imports/upload.html",
        campaign=get_campaign(session(), campaign_id),
        form=form,
        jobs=list(jobs),
        total=read_counters(session(), campaign_id)["total"],
        largest=LARGEST,
    )


def _job(campaign_id: int, job_id: int) -> Job:
    job = session().get(Job, job_id)
    if job is None or job.campaign_id != campaign_id or job.kind not in _TEMPLATES:
        abort(404)
    return job


def _filename(job: Job) -> str:
    return str(job.parameters.get("filename") or f"upload {job.id}")


def _state(campaign_id: int, job_id: int) -> dict[str, Any]:
    """What the page of an import shows at this moment."""
    job = _job(campaign_id, job_id)
    campaign = get_campaign(session(), campaign_id)
    report = job.result or {}
    kept = report.get("added", 0) + report.get("suppressed", 0)
    queued = job.status is JobStatus.QUEUED
    return {
        "campaign": campaign,
        "job": job,
        "filename": _filename(job),
        "running": job.status in _RUNNING,
        "waits": queued and (now() - job.created_at).total_seconds() > _SLOW_START,
        "failed": job.status is JobStatus.FAILED or "undone" in report,
        "stopped": job.status is JobStatus.STOPPED,
        "report": report if "rows" in report and "undone" not in report else None,
        "can_undo": bool(kept) and campaign.status in EDITABLE,
        "can_go_on": can_go_on(job) and campaign.status in EDITABLE,
        "kinds": [
            (kind, report["refusals"][kind])
            for kind in RefusalKind
            if kind in report.get("refusals", {})
        ],
        **_refused_page(campaign_id, job_id, _refused_total(report)),
    }


def _kind() -> RefusalKind | None:
    """The group of refused rows that is asked for; None = all."""
    wanted = request.args.get("kind", "")
    return RefusalKind(wanted) if wanted in list(RefusalKind) else None


def _refused_total(report: dict[str, Any]) -> int:
    kind = _kind()
    if kind is None:
        return int(report.get("refused_total", 0))
    return int(report.get("refusals", {}).get(kind, 0))


def _refused_page(campaign_id: int, job_id: int, total: int) -> dict[str, Any]:
    """Refused rows by line, a page after a line or up to one."""
    after = request.args.get("after", 0, type=row_number)
    until = request.args.get("until", type=row_number)
    kind = _kind()
    query = select(RefusedRow).where(RefusedRow.job_id == job_id).limit(_ROWS + 1)
    if kind is not None:
        query = query.where(begins_with(RefusedRow.reason, kind))
    if until is not None:
        query = query.where(RefusedRow.line < until).order_by(RefusedRow.line.desc())
    else:
        query = query.where(RefusedRow.line > after).order_by(RefusedRow.line)
    rows = list(session().scalars(query))
    more, rows = len(rows) > _ROWS, rows[:_ROWS]
    if until is not None:
        rows.reverse()
    earlier = more if until is not None else bool(after)
    later = more if until is None else True
    page: dict[str, Any] = {"campaign_id": campaign_id, "job_id": job_id, "kind": kind}
    return {
        "refused": rows,
        "kind": kind,
        "position": f"{number(len(rows))} of {number(total)}",
        "earlier": url_for(".show", until=rows[0].line, **page) if rows and earlier else None,
        "later": url_for(".show", after=rows[-1].line, **page) if rows and later else None,
    }

"""Verify Recipients: start the check, follow it, see verdicts with reasons, skip or not."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy import exists, func, select
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.statuses import JobKind, JobStatus, RecipientStatus, Verdict
from models import Campaign, Job
from services import job_queue, progress, verification
from services.campaigns import EDITABLE, Refused, get_campaign, lock_campaign
from services.ledger import read_counters
from services.recipient_list import recipient_page
from web.context import now
from web.database import session
from web.formatting import number
from web.live import live_response

blueprint = Blueprint(
    "verification", __name__, url_prefix="/campaigns/<int:campaign_id>/verification"
)
_RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)
_SLOW_START = 10
#: Worst first: what a person has to look at.
_ORDER = (Verdict.UNDELIVERABLE, Verdict.RISKY, Verdict.UNKNOWN, Verdict.DELIVERABLE)
_AS_STATE = {
    Verdict.DELIVERABLE: RecipientStatus.DELIVERED,
    Verdict.RISKY: RecipientStatus.DELAYED,
    Verdict.UNKNOWN: RecipientStatus.PENDING,
    Verdict.UNDELIVERABLE: RecipientStatus.BOUNCED,
}


@blueprint.get("")
def show(campaign_id: int) -> str:
    """What the last check found, or its progress."""
    return render_template("verification/show.html", **_state(campaign_id))


@blueprint.get("/progress")
def progress_part(campaign_id: int) -> Response:
    """The part of that page which changes while a check runs."""
    state = _state(campaign_id)
    return live_response(
        render_template("verification/_state.html", **state), int(state["running"])
    )


@blueprint.post("/start")
def start(campaign_id: int) -> AnyResponse:
    """Queue a check of everybody who is not sent to yet; a second press joins the running one."""
    with writing(session()) as db:
        if lock_campaign(db, campaign_id).status not in EDITABLE:
            raise Refused("This campaign has been launched: its recipients are not checked again.")
        busy = exists().where(
            Job.campaign_id == campaign_id,
            Job.kind == JobKind.VERIFY,
            Job.status.in_(_RUNNING),
        )
        if not db.scalar(select(busy)):
            job_queue.enqueue(db, JobKind.VERIFY, campaign_id, None, {}, current_user.email, now())
    return _back(campaign_id)


@blueprint.post("/stop")
def stop(campaign_id: int) -> AnyResponse:
    """Stop the check; the verdicts found so far stay."""
    job = progress.latest_job(session(), campaign_id, JobKind.VERIFY)
    if job is not None:
        with writing(session()) as db:
            job_queue.request_stop(db, job.id, now())
    return _back(campaign_id)


@blueprint.post("/choose")
def choose(campaign_id: int) -> AnyResponse:
    """Skip undeliverable addresses, or send to them all the same."""
    with writing(session()) as db:
        campaign = lock_campaign(db, campaign_id)
        if campaign.status not in EDITABLE:
            raise Refused("This campaign has been launched: this can no longer change.")
        campaign.send_undeliverable = request.form.get("send") == "yes"
    flash(
        "Undeliverable addresses are sent to as well."
        if campaign.send_undeliverable
        else "Undeliverable addresses are skipped."
    )
    return _back(campaign_id)


def _back(campaign_id: int) -> AnyResponse:
    return redirect(url_for(".show", campaign_id=campaign_id), code=303)


def _state(campaign_id: int) -> dict[str, Any]:
    """What the page of a verification shows at this moment."""
    campaign = get_campaign(session(), campaign_id)
    counters = read_counters(session(), campaign_id)
    job = progress.latest_job(session(), campaign_id, JobKind.VERIFY)
    running = job is not None and job.status in _RUNNING
    total = counters["pending"] + counters["skipped"]
    found = _counts(campaign, job, total)
    counts = [(verdict, found[verdict]) for verdict in _ORDER]
    undeliverable = found[Verdict.UNDELIVERABLE]
    queued = job is not None and job.status is JobStatus.QUEUED
    waits = queued and job is not None and (now() - job.created_at).total_seconds() > _SLOW_START
    return {
        "campaign": campaign,
        "job": job,
        "running": running,
        "waits": waits,
        "failed": job is not None and job.status is JobStatus.FAILED,
        "total": total,
        "checked": sum(found.values()),
        "counts": counts,
        "by_verdict": [(_AS_STATE[verdict], amount) for verdict, amount in reversed(counts)],
        "undeliverable": undeliverable,
        "deliverable": found[Verdict.DELIVERABLE],
        "can_start": campaign.status in EDITABLE,
        **_rows(campaign_id, counts),
    }


def _counts(campaign: Campaign, job: Job | None, total: int) -> dict[Verdict, int]:
    """Rows by verdict: the last check's own figures while nothing changed since, else counted."""
    if job is None:
        return dict.fromkeys(Verdict, 0)
    since = func.coalesce(Job.finished_at, Job.created_at)
    changed = exists().where(
        Job.campaign_id == campaign.id,
        Job.kind == JobKind.IMPORT,
        since > job.created_at,
    )
    found = verification.report(session(), job.id).counts
    if job.status is JobStatus.DONE and not session().scalar(select(changed)):
        return found
    if job.status in _RUNNING:
        return {verdict: found.get(verdict, 0) for verdict in Verdict}
    counted = verification.verdict_counts(session(), campaign.id)
    return {verdict: counted.get(verdict, 0) for verdict in Verdict}


def _rows(campaign_id: int, counts: list[tuple[Verdict, int]]) -> dict[str, Any]:
    """One page of the recipients with the chosen verdict, worst verdict first."""
    wanted = request.args.get("verdict", "")
    worst = next((verdict for verdict, amount in counts if amount), Verdict.UNDELIVERABLE)
    shown = Verdict(wanted) if wanted in list(Verdict) else worst
    page = recipient_page(
        session(),
        campaign_id,
        verdict=shown,
        after=request.args.get("after", type=int),
        before=request.args.get("before", type=int),
    )
    here: dict[str, Any] = {"campaign_id": campaign_id, "verdict": shown.value}
    return {
        "shown": shown.value,
        "rows": page.rows,
        "position": f"{number(len(page.rows))} of {number(dict(counts)[shown])}",
        "earlier": url_for(".show", before=page.before, **here) if page.before else None,
        "later": url_for(".show", after=page.after, **here) if page.after else None,
    }

"""Verify Recipients: start the check, follow it, see verdicts with reasons, correct misspelt
domains, choose whom to leave out.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from sqlalchemy import exists, select
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.statuses import JobKind, JobStatus, RecipientStatus, Risk, Verdict
from domain.typos import meant_address
from models import Campaign, Job
from services import corrections, job_queue, progress, verification_summary
from services.address_insights import ASKABLE, KEPT
from services.campaigns import EDITABLE, Refused, get_campaign, lock_campaign
from services.ledger import read_counters
from services.recipient_list import recipient_page
from services.verification_summary import Summary
from web.context import now
from web.database import session
from web.formatting import count, number
from web.input import row_number
from web.live import live_response
from web.wording import RISK, wording

blueprint = Blueprint(
    "verification", __name__, url_prefix="/campaigns/<int:campaign_id>/verification"
)
RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)
_SLOW_START = 10
#: Worst first: what a person has to look at.
WORST_FIRST = (Verdict.UNDELIVERABLE, Verdict.RISKY, Verdict.UNKNOWN, Verdict.DELIVERABLE)
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


@blueprint.get("/ask")
def ask(campaign_id: int) -> AnyResponse | str:
    """What it means to have Amazon SES asked, before it is: how many addresses, and the price."""
    state = _state(campaign_id)
    if not state["can_start"] or state["running"] or not state["checked"]:
        if not state["running"] and not state["checked"]:
            flash("Verify first: then it is known about whom Amazon SES could be asked.")
        return _back(campaign_id)
    return render_template("verification/ask.html", askable=ASKABLE, kept=KEPT.days, **state)


@blueprint.post("/start")
def start(campaign_id: int) -> AnyResponse:
    """Queue a check of everybody who is not sent to yet; a second press joins the running one.

    `ask` names the verdicts about which Amazon SES is asked as well; none = it is not asked.
    """
    if chose_nobody():
        return redirect(url_for(".ask", campaign_id=campaign_id), code=303)
    parameters = asked_of_ses()
    with writing(session()) as db:
        if lock_campaign(db, campaign_id).status not in EDITABLE:
            raise Refused("This campaign has been launched: its recipients are not checked again.")
        busy = exists().where(
            Job.campaign_id == campaign_id,
            Job.kind == JobKind.VERIFY,
            Job.status.in_(RUNNING),
        )
        if not db.scalar(select(busy)):
            by = current_user.email
            job_queue.enqueue(db, JobKind.VERIFY, campaign_id, None, parameters, by, now())
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
    """Leave out the chosen kinds of addresses, and send to the others."""
    chosen = request.form.getlist("skip")
    risks = sum((risk for risk in Risk if risk.name in chosen), Risk(0))
    with writing(session()) as db:
        campaign = verification_summary.choose(
            db, campaign_id, skip_undeliverable="undeliverable" in chosen, skip_risks=risks
        )
    flash(
        "The choice is saved."
        if not campaign.send_undeliverable
        else "The choice is saved: undeliverable addresses are sent to as well."
    )
    return _back(campaign_id)


@blueprint.post("/correct")
def correct(campaign_id: int) -> AnyResponse:
    """Correct everybody under a misspelt domain, or one recipient."""
    domain = request.form.get("domain")
    recipient_id = request.form.get("recipient", type=row_number)
    if (domain is None) == (recipient_id is None):
        abort(400)
    corrected = duplicates = suppressed = 0
    after: int | None = 0
    while after is not None:
        with writing(session()) as db:
            step = corrections.correct(
                db, campaign_id, now(), current_user.email,
                domain=domain, recipient_id=recipient_id, after=after,
            )  # fmt: skip
        corrected, duplicates = corrected + step.corrected, duplicates + step.duplicates
        suppressed, after = suppressed + step.suppressed, step.last_id
    flash(_said(corrected, duplicates, suppressed))
    return _back(campaign_id)


def _said(corrected: int, duplicates: int, suppressed: int) -> str:
    """What a correction did, in words."""
    parts = [f"{count(corrected, 'address', 'addresses')} corrected."]
    if duplicates:
        were = "was" if duplicates == 1 else "were"
        parts.append(f"{number(duplicates)} {were} in the list already and will be skipped.")
    if suppressed:
        are = "is" if suppressed == 1 else "are"
        parts.append(f"{number(suppressed)} of them {are} on the suppression list: skipped.")
    return " ".join(parts)


def _back(campaign_id: int) -> AnyResponse:
    return redirect(url_for(".show", campaign_id=campaign_id), code=303)


def _state(campaign_id: int) -> dict[str, Any]:
    """What the page of a verification shows at this moment."""
    campaign = get_campaign(session(), campaign_id)
    counters = read_counters(session(), campaign_id)
    job = progress.latest_job(session(), campaign_id, JobKind.VERIFY)
    running = job is not None and job.status in RUNNING
    total = counters["pending"] + counters["skipped"]
    found = verification_summary.summary(session(), campaign_id, job)
    counts = [(verdict, found.verdicts[verdict]) for verdict in WORST_FIRST]
    checked = sum(found.verdicts.values())
    can_start = campaign.status in EDITABLE
    settled = bool(checked) and not running
    return {
        "campaign": campaign,
        "job": job,
        "running": running,
        "waits": job is not None and has_to_wait(job),
        "failed": job is not None and job.status is JobStatus.FAILED,
        "total": total,
        "checked": checked,
        "counts": counts,
        "by_verdict": as_segments(counts),
        "undeliverable": found.verdicts[Verdict.UNDELIVERABLE],
        "deliverable": found.verdicts[Verdict.DELIVERABLE],
        "can_start": can_start,
        "choices": _choices(campaign, found) if settled else [],
        "left_out": found.left_out(campaign),
        "typos": corrections.kinds(session(), campaign_id, found.misspelt) if settled else [],
        "outlook": verification_summary.bounce_outlook(session(), campaign, found, total)
        if settled
        else None,
        **_rows(campaign_id, counts),
    }


def chose_nobody() -> bool:
    """Whether the page about Amazon SES was sent without a choice; said to the person."""
    nobody = "about" in request.form and not asked_of_ses()
    if nobody:
        flash("Tick at least one kind of address about which Amazon SES is to be asked.")
    return nobody


def asked_of_ses() -> dict[str, Any]:
    """The parameters of a check whose form says about which verdicts Amazon SES is asked."""
    wanted = [one.value for one in ASKABLE if one.value in request.form.getlist("ask")]
    return {"ask_ses": wanted} if wanted else {}


def has_to_wait(job: Job) -> bool:
    """Whether no scheduler has taken the job up for longer than it should take."""
    queued = job.status is JobStatus.QUEUED
    return queued and (now() - job.created_at).total_seconds() > _SLOW_START


def as_segments(counts: list[tuple[Verdict, int]]) -> list[tuple[RecipientStatus, int]]:
    """The verdicts, best first, under the states whose colours they have."""
    return [(_AS_STATE[verdict], amount) for verdict, amount in reversed(counts)]


def _choices(campaign: Campaign, found: Summary) -> list[dict[str, Any]]:
    """The kinds of addresses that a campaign can leave out: those that there are."""
    undeliverable = found.verdicts[Verdict.UNDELIVERABLE]
    choices: list[dict[str, Any]] = [
        {
            "value": "undeliverable",
            "wording": wording(Verdict.UNDELIVERABLE),
            "amount": undeliverable,
            "skipped": not campaign.send_undeliverable,
        }
    ]
    choices += [
        {
            "value": risk.name,
            "wording": RISK[risk],
            "amount": found.with_risk(risk),
            "skipped": bool(risk & campaign.skip_risks),
        }
        for risk in Risk
    ]
    return [choice for choice in choices if choice["amount"]]


def _rows(campaign_id: int, counts: list[tuple[Verdict, int]]) -> dict[str, Any]:
    """One page of the recipients with the chosen verdict, worst verdict first."""
    wanted = request.args.get("verdict", "")
    worst = next((verdict for verdict, amount in counts if amount), Verdict.UNDELIVERABLE)
    shown = Verdict(wanted) if wanted in list(Verdict) else worst
    page = recipient_page(
        session(),
        campaign_id,
        verdict=shown,
        after=request.args.get("after", type=row_number),
        before=request.args.get("before", type=row_number),
    )
    here: dict[str, Any] = {"campaign_id": campaign_id, "verdict": shown.value}
    return {
        "shown": shown.value,
        "rows": page.rows,
        "mends": {row.id: mended for row in page.rows if (mended := meant_address(row.address))},
        "position": f"{number(len(page.rows))} of {number(dict(counts)[shown])}",
        "earlier": url_for(".show", before=page.before, **here) if page.before else None,
        "later": url_for(".show", after=page.after, **here) if page.after else None,
    }

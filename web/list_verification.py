"""Verify list: start the check of a list, follow it, see verdicts with reasons, correct misspelt
domains.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from audience_models import ListImport
from database import writing
from domain.statuses import JobKind, JobStatus, Verdict
from domain.typos import meant_address, meant_domain
from services import job_queue, list_corrections, list_members, lists, verification
from services.address_insights import ASKABLE, KEPT
from services.list_corrections import Corrected, latest_check
from web.context import now
from web.database import session
from web.formatting import count
from web.input import row_number
from web.live import live_response
from web.verification import (
    RUNNING,
    WORST_FIRST,
    as_segments,
    asked_of_ses,
    chose_nobody,
    has_to_wait,
)

blueprint = Blueprint("list_verification", __name__, url_prefix="/lists/<int:list_id>/verification")


@blueprint.get("")
def show(list_id: int) -> str:
    """What the last check found, or its progress."""
    return render_template("lists/verify.html", **_state(list_id))


@blueprint.get("/progress")
def progress_part(list_id: int) -> Response:
    """The part of that page which changes while a check runs."""
    state = _state(list_id)
    return live_response(render_template("lists/_verify.html", **state), int(state["running"]))


@blueprint.get("/ask")
def ask(list_id: int) -> AnyResponse | str:
    """What it means to have Amazon SES asked, before it is: how many addresses, and the price."""
    state = _state(list_id)
    if state["running"] or not state["checked"]:
        if not state["running"] and not state["checked"]:
            flash("Verify first: then it is known about whom Amazon SES could be asked.")
        return _back(list_id)
    return render_template("lists/ask.html", askable=ASKABLE, kept=KEPT.days, **state)


@blueprint.post("/start")
def start(list_id: int) -> AnyResponse:
    """Queue a check of all who are subscribed; a second press joins the running one.

    `ask` names the verdicts about which Amazon SES is asked as well; none = it is not asked.
    """
    if chose_nobody():
        return redirect(url_for(".ask", list_id=list_id), code=303)
    parameters = asked_of_ses()
    with writing(session()) as db:
        list_members.lock_list(db, list_id)
        job = latest_check(db, list_id)
        if job is None or job.status not in RUNNING:
            by = current_user.email
            made = job_queue.enqueue(db, JobKind.VERIFY, None, None, parameters, by, now())
            db.add(ListImport(job_id=made.id, list_id=list_id))
    return _back(list_id)


@blueprint.post("/stop")
def stop(list_id: int) -> AnyResponse:
    """Stop the check; the verdicts found so far stay."""
    with writing(session()) as db:
        job = latest_check(db, list_id)
        if job is not None:
            job_queue.request_stop(db, job.id, now())
    return _back(list_id)


@blueprint.post("/correct")
def correct(list_id: int) -> AnyResponse:
    """Correct everybody under a misspelt domain, or one member."""
    domain = request.form.get("domain")
    contact_id = request.form.get("contact", type=row_number)
    if (domain is None) == (contact_id is None):
        abort(400)
    corrected = known = 0
    after: int | None = 0
    while after is not None:
        with writing(session()) as db:
            step: Corrected = list_corrections.correct(
                db, list_id, now(), domain=domain, contact_id=contact_id, after=after
            )
        corrected, known, after = corrected + step.corrected, known + step.known, step.last_id
    said = f"{count(corrected, 'address', 'addresses')} corrected."
    if known:
        said += f" {count(known, 'person was', 'people were')} known under the right one already."
    flash(said)
    return _back(list_id)


def _back(list_id: int) -> AnyResponse:
    return redirect(url_for(".show", list_id=list_id), code=303)


def _state(list_id: int) -> dict[str, Any]:
    """What the page shows at this moment; figures are those of the last check."""
    found = lists.get_list(session(), list_id)
    job = latest_check(session(), list_id)
    report = verification.report(session(), job.id) if job else None
    verdicts = report.counts if report else dict.fromkeys(Verdict, 0)
    counts = [(verdict, verdicts[verdict]) for verdict in WORST_FIRST]
    running = job is not None and job.status in RUNNING
    misspelt = report.misspelt if report and not running else {}
    kinds = sorted(misspelt.items(), key=lambda kind: (-kind[1], kind[0]))
    return {
        "found": found,
        "job": job,
        "running": running,
        "waits": job is not None and has_to_wait(job),
        "failed": job is not None and job.status is JobStatus.FAILED,
        "changed": job is not None and bool((job.result or {}).get("changed")),
        "checked": sum(verdicts.values()),
        "counts": counts,
        "by_verdict": as_segments(counts),
        "deliverable": verdicts[Verdict.DELIVERABLE],
        "typos": [(domain, meant_domain(domain), amount) for domain, amount in kinds],
        **_rows(list_id, counts),
    }


def _rows(list_id: int, counts: list[tuple[Verdict, int]]) -> dict[str, Any]:
    """One page of the members with the chosen verdict, worst verdict first."""
    wanted = request.args.get("verdict", "")
    worst = next((verdict for verdict, amount in counts if amount), Verdict.UNDELIVERABLE)
    shown = Verdict(wanted) if wanted in list(Verdict) else worst
    page = lists.member_page(
        session(),
        list_id,
        verdict=shown,
        after=request.args.get("after", type=row_number),
        before=request.args.get("before", type=row_number),
    )
    here: dict[str, Any] = {"list_id": list_id, "verdict": shown.value}
    people = [row.contact for row in page.rows]
    return {
        "shown": shown.value,
        "people": people,
        "mends": {one.id: meant for one in people if (meant := meant_address(one.address))},
        "newer": url_for(".show", before=page.before, **here) if page.before else None,
        "older": url_for(".show", after=page.after, **here) if page.after else None,
    }

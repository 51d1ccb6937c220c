"""The suppression list beside that of the SES account: what differs, and bringing it in line."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from database import writing
from domain.statuses import JobStatus, SuppressionReason
from services import account_list as service
from services import job_queue
from services.campaigns import Refused
from web.context import now
from web.database import session, settings
from web.live import live_response
from web.wording import SUPPRESSION

blueprint = Blueprint("account_list", __name__, url_prefix="/suppressions/account")
_RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)
#: SES's own words for its two reasons.
_OF_SES = {"BOUNCE": SuppressionReason.BOUNCED, "COMPLAINT": SuppressionReason.COMPLAINED}


@blueprint.get("/")
def show() -> str:
    """Both lists in figures, with what would change."""
    return render_template("suppressions/account.html", **_state())


@blueprint.get("/progress")
def progress() -> Response:
    """The part of that page which changes while one list is read or brought in line."""
    state = _state()
    page = render_template("suppressions/_account.html", **state)
    return live_response(page, int(state["running"]))


@blueprint.post("/read")
def read() -> AnyResponse:
    """Read the account's list; it changes nothing on either side."""
    return _queue(service.READ)


@blueprint.route("/pull", methods=["GET", "POST"], endpoint="pull", defaults={"deed": service.PULL})
@blueprint.route("/push", methods=["GET", "POST"], endpoint="push", defaults={"deed": service.PUSH})
def bring_in_line(deed: str) -> str | AnyResponse:
    """GET says what will happen, POST queues it."""
    if request.method == "POST":
        return _queue(deed)
    found = service.comparison(session())
    amount = (found.result or {}).get(f"would_{deed}", 0) if found else 0
    if not amount:
        flash("There is nothing to do: read the account’s list again if it may have changed.")
        return redirect(url_for(".show"), code=303)
    return render_template("suppressions/account_confirm.html", deed=deed, amount=amount)


@blueprint.post("/stop")
def stop() -> AnyResponse:
    """Stop what is under way; what was done stays."""
    job = service.latest_job(session())
    if job is not None:
        with writing(session()) as db:
            job_queue.request_stop(db, job.id, now())
    return redirect(url_for(".show"), code=303)


def _queue(deed: str) -> AnyResponse:
    try:
        with writing(session()) as db:
            service.enqueue(db, deed, current_user.email, now())
    except Refused as refusal:
        flash(str(refusal), "error")
    return redirect(url_for(".show"), code=303)


def _state() -> dict[str, Any]:
    latest, found = service.latest_job(session()), service.comparison(session())
    running = latest is not None and latest.status in _RUNNING
    sides = ("there", "here") if found else ()
    result = (found.result or {}) if found else {}
    return {
        "job": latest,
        "running": running,
        "deed": latest.parameters.get("do") if latest else None,
        "found": found,
        "result": result,
        "rows": {side: service.first_rows(session(), found, side) for side in sides if found},
        "only_there": [(_OF_SES[r], n) for r, n in result.get("only_there", {}).items()],
        "only_here": [(SuppressionReason(r), n) for r, n in result.get("only_here", {}).items()],
        "of_ses": _OF_SES,
        "reasons": {reason.value: reason for reason in SUPPRESSION},
        "uses_simulator": settings().uses_simulator,
    }

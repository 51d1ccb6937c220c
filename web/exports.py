"""Downloads: a campaign's recipients, the rows an import refused, the suppression list."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import Blueprint, Response, abort, request

from domain.statuses import RecipientStatus
from services import exports
from services.campaigns import get_campaign
from web.context import now
from web.database import session, wiring

blueprint = Blueprint("exports", __name__)
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@blueprint.get("/campaigns/<int:campaign_id>/export")
def campaign(campaign_id: int) -> Response:
    """All recipients in import order, or those in one state, as CSV or XLSX."""
    found = get_campaign(session(), campaign_id)
    wanted = request.args.get("state", "")
    status = RecipientStatus(wanted) if wanted in list(RecipientStatus) else None
    rows = exports.recipient_rows(wiring().sessions, campaign_id, status=status)
    return download(rows, f"{found.name} {status or ''}")


@blueprint.get("/suppressions/export")
def suppressions() -> Response:
    """The suppression list, oldest first."""
    return download(exports.suppression_rows(wiring().sessions), "suppression list")


def download(rows: Iterable[exports.Row], name: str) -> Response:
    """Rows as a file that is written while it is read; `format` in the address chooses it.

    The request's own transaction ends first: a slow client must hold none open.
    """
    form = request.args.get("format", "csv")
    if form not in exports.FORMATS:
        abort(404)
    session().rollback()
    response = Response(exports.FORMATS[form](rows), content_type=_TYPES[form])
    day = now().strftime("%Y-%m-%d")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:60] or "export"
    response.headers.set("Content-Disposition", "attachment", filename=f"{plain}-{day}.{form}")
    return response

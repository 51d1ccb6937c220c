"""Downloads: recipients, events, contacts, the suppression list; columns: docs/exports.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import TypeVar

from flask import Blueprint, Response, abort, request

from domain.segments import Conditions
from domain.statuses import (
    MemberStatus,
    RecipientStatus,
    SuppressionReason,
    Verdict,
)
from services import contact_export, event_export, exports
from services.campaigns import get_campaign
from services.lists import get_list
from services.segments import get_segment
from web.context import now
from web.database import session, wiring
from web.input import row_number
from web.log_filter import chosen_of_log

Chosen = TypeVar("Chosen", bound=StrEnum)

blueprint = Blueprint("exports", __name__)
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@blueprint.get("/campaigns/<int:campaign_id>/export")
def campaign(campaign_id: int) -> Response:
    """All recipients in import order, or those that the page's filter and search show."""
    found = get_campaign(session(), campaign_id)
    status = _one_of(RecipientStatus, "state")
    rows = exports.recipient_rows(
        wiring().sessions, campaign_id, status=status,
        verdict=_one_of(Verdict, "verdict"), text=request.args.get("q", "")[:320],
    )  # fmt: skip
    return download(rows, f"{found.name} {status or ''}")


@blueprint.get("/campaigns/<int:campaign_id>/events/export")
def campaign_events(campaign_id: int) -> Response:
    """Every stored event of a campaign, recipient by recipient."""
    found = get_campaign(session(), campaign_id)
    rows = event_export.campaign_event_rows(wiring().sessions, campaign_id)
    return download(rows, f"{found.name} events")


@blueprint.get("/notifications/export")
def events() -> Response:
    """The notification log as it is filtered, newest first."""
    rows = event_export.event_rows(wiring().sessions, chosen_of_log())
    return download(rows, "notifications")


@blueprint.get("/contacts/export")
def contacts() -> Response:
    """All contacts, oldest first; or the members of a list, or who matches a segment now."""
    list_id, segment_id = (
        request.args.get("list", type=row_number),
        request.args.get("segment", type=row_number),
    )
    name, conditions = "contacts", None
    if list_id is not None:
        name = get_list(session(), list_id).name
    if segment_id is not None:
        segment = get_segment(session(), segment_id)
        name, conditions = segment.name, Conditions.of_json(segment.conditions)
    rows = contact_export.contact_rows(
        wiring().sessions, list_id=list_id, conditions=conditions,
        status=_one_of(MemberStatus, "state") if list_id is not None else None,
    )  # fmt: skip
    return download(rows, name)


@blueprint.get("/suppressions/export")
def suppressions() -> Response:
    """The suppression list, oldest first, whole or by reason."""
    reason = _one_of(SuppressionReason, "reason")
    rows = exports.suppression_rows(wiring().sessions, reason)
    return download(rows, f"suppression list {reason or ''}")


def _one_of(enum: type[Chosen], name: str) -> Chosen | None:
    """The member that the address names; None for no or an unknown one."""
    wanted = request.args.get(name, "")
    return enum(wanted) if wanted in list(enum) else None


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

"""The filter of the notification log, as it stands in the address and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from sqlalchemy import select

from domain.ses_events import EventKind
from domain.statuses import EventStatus
from models import Campaign
from services.event_log import LogFilter
from web.database import session
from web.input import row_number
from web.wording import moment_wording

#: How events come in, by the word that is stored with each.
DOORS = {"http": "HTTPS", "sqs": "SQS"}
_KINDS = tuple(kind.value for kind in EventKind)
_CAMPAIGNS_OFFERED = 50


@dataclass(frozen=True)
class Choice:
    """One part of the filter: its name, what is chosen, and what else may be."""

    label: str
    chosen: str | None
    options: list[tuple[str, str, bool]]  # word, address, whether it is the chosen one


def chosen_of_log() -> LogFilter:
    """The filter in the present address; what makes no sense there counts as absent."""
    show, kind, door = (request.args.get(name) for name in ("show", "type", "door"))
    return LogFilter(
        status=EventStatus(show) if show in set(EventStatus) else None,
        kind=kind if kind in _KINDS else None,
        campaign_id=request.args.get("campaign", type=row_number),
        door=door if door in DOORS else None,
        text=request.args.get("q", "")[:320].strip(),
    )


def in_address(wanted: LogFilter) -> dict[str, Any]:
    """The filter as it goes into addresses."""
    return {
        "show": wanted.status.value if wanted.status else None,
        "type": wanted.kind,
        "campaign": wanted.campaign_id,
        "door": wanted.door,
        "q": wanted.text or None,
    }


def choices(wanted: LogFilter) -> list[Choice]:
    """What the page offers beside search and result."""
    kinds = [
        (kind, kind if kind == EventKind.BOUNCE else moment_wording(kind, None).word)
        for kind in _KINDS
    ]
    campaigns = _campaigns(wanted.campaign_id)
    return [
        _choice("Type", "type", wanted, wanted.kind, kinds),
        _choice("Campaign", "campaign", wanted, wanted.campaign_id, campaigns),
        _choice("Source", "door", wanted, wanted.door, list(DOORS.items())),
    ]


def _campaigns(chosen: int | None) -> list[tuple[int, str]]:
    query = select(Campaign.id, Campaign.name).where(Campaign.launched_at.is_not(None))
    newest = query.order_by(Campaign.id.desc()).limit(_CAMPAIGNS_OFFERED)
    found = [(row.id, row.name) for row in session().execute(newest)]
    if chosen is not None and chosen not in dict(found):
        known = session().get(Campaign, chosen)
        found.insert(0, (chosen, known.name if known else f"Campaign {chosen}"))
    return found


def _choice(
    label: str, name: str, wanted: LogFilter, chosen: Any, options: list[tuple[Any, str]]
) -> Choice:
    def address(value: Any) -> str:
        return url_for("notifications.index", **{**in_address(wanted), name: value})

    rows = [("Any", address(None), chosen is None)]
    rows += [(word, address(value), value == chosen) for value, word in options]
    return Choice(label, dict(options).get(chosen), rows)

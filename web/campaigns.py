"""The list of campaigns and the page of one campaign, in all its states, kept live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, render_template, request, url_for

from domain.statuses import CampaignStatus, JobKind, JobStatus, RecipientStatus
from models import Campaign, CampaignCounters, Job
from services import campaigns, doubt, link_clicks, progress
from services.ledger import read_counters
from services.lifecycle import THE_PRODUCT
from web import audiences
from web.context import now
from web.database import session, settings
from web.formatting import clock, day, number, zone_or_utc
from web.input import row_number
from web.live import shared_fragment
from web.recipient_view import opened_of, people_of, view_of_address
from web.wording import BAR_ORDER, RECIPIENT

blueprint = Blueprint("campaigns", __name__, url_prefix="/campaigns")

_OPEN = (RecipientStatus.PENDING, RecipientStatus.SENDING, RecipientStatus.IN_DOUBT)
_ACTIVE_JOBS = (JobStatus.QUEUED, JobStatus.RUNNING)
#: Campaigns on one page of the list.
_SHOWN = 50
#: Links on the page of a campaign's links, those of most people.
_LINKS_SHOWN = 100
#: Pages of other parts that a campaign's page leads to: name -> endpoint.
_LINKS = {
    "edit": "editor.edit",
    "upload": "imports.upload",
    "from_lists": "audiences.edit",
    "verify": "verification.show",
    "test": "test_mails.new",
    "preview": "previews.show",
    "export": "exports.campaign",
}


#: How long the page waits for the exact size of an audience from lists (seconds).
_PATIENCE = 0.03


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: rows that had their turn, of all rows."""

    done: int
    total: int


@blueprint.get("/")
def index() -> str:
    """All campaigns, newest first."""
    return render_template("campaigns/index.html", **_list())


@blueprint.get("/live")
def index_live() -> Response:
    """The rows of the list again."""

    def make() -> tuple[str, int]:
        page = _list()
        return render_template("campaigns/_list.html", **page), page["next_in"]

    return shared_fragment(make)


def _list() -> dict[str, Any]:
    chosen = request.args.get("state", "")
    status = CampaignStatus(chosen) if chosen in set(CampaignStatus) else None
    before = request.args.get("before", type=row_number)
    found = campaigns.list_campaigns(session(), _SHOWN + 1, status=status, before=before)
    more, found = len(found) > _SHOWN, found[:_SHOWN]
    totals = campaigns.count_by_status(session())
    view: dict[str, Any] = {"state": status.value if status else None}
    return {
        "rows": [
            (c, counters, bar_counts(counters), progress_of(counters)) for c, counters in found
        ],
        "totals": totals,
        "total": sum(totals.values()),
        "chosen": status.value if status else "",
        "shown": f"{'Older' if before else 'Newest'} {number(len(found))}",
        "newest": url_for("campaigns.index", **view) if before else None,
        "older": url_for("campaigns.index", before=found[-1][0].id, **view) if more else None,
        "live_address": url_for("campaigns.index_live", before=before, **view),
        "next_in": progress.LIVE_SECONDS
        if totals[CampaignStatus.SENDING]
        else progress.LATE_SECONDS,
    }


def bar_counts(counters: CampaignCounters) -> list[tuple[RecipientStatus, int]]:
    """The rows by state, in the order of the bar."""
    return [(status, getattr(counters, status.value)) for status in BAR_ORDER]


def progress_of(counters: CampaignCounters) -> Progress:
    """How many rows had their turn."""
    waiting = sum(getattr(counters, status.value) for status in _OPEN)
    return Progress(counters.total - waiting, counters.total)


@blueprint.get("/<int:campaign_id>")
def show(campaign_id: int) -> str:
    """One campaign: what it is doing, its figures, its recipients."""
    return render_template("campaigns/show.html", **page_of(campaign_id))


@blueprint.get("/<int:campaign_id>/live")
def live(campaign_id: int) -> Response:
    """The same page's live part, for the same filter and the same opened recipient."""

    def make() -> tuple[str, int]:
        page = page_of(campaign_id)
        return render_template("campaigns/_live.html", **page), page["next_in"]

    return shared_fragment(make)


@blueprint.get("/<int:campaign_id>/links")
def links(campaign_id: int) -> str:
    """Which links were clicked."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    found = link_clicks.of_campaign(session(), campaign, _LINKS_SHOWN + 1)
    return render_template(
        "campaigns/links.html",
        campaign=campaign,
        clicked=found[:_LINKS_SHOWN],
        more=len(found) > _LINKS_SHOWN,
        most=max((one.people for one in found), default=0),
        counters=read_counters(session(), campaign_id),
    )


def page_of(campaign_id: int) -> dict[str, Any]:
    """What the campaign's page and its live part show."""
    campaign = campaigns.get_campaign(session(), campaign_id)
    counters = read_counters(session(), campaign_id)
    counts = [(status, counters[status.value]) for status in BAR_ORDER]
    open_rows = sum(counters[status.value] for status in _OPEN)
    start = campaign.scheduled_at if campaign.status is CampaignStatus.SCHEDULED else None
    jobs = _jobs(campaign_id)
    editable = campaign.status in campaigns.EDITABLE
    chosen = audiences.chosen(campaign, patience=_PATIENCE)
    to_come = chosen.size.people if chosen and chosen.audience.frozen_at is None else 0
    next_in = progress.seconds_to_next_look(campaign, counters, now())
    if any(_is_active(job) for job in jobs.values()):
        next_in = progress.LIVE_SECONDS
    return {
        "campaign": campaign,
        "counters": counters,
        "counts": counts,
        "counts_sentence": _sentence(counts),
        "progress": Progress(counters["total"] - open_rows, counters["total"]),
        "pace": progress.pace(session(), campaign, settings(), now(), start=start, to_come=to_come),
        "problems": campaigns.launch_problems(session(), campaign, settings()) if editable else [],
        "from_lists": chosen,
        "to_come": to_come,
        "preparing": editable and not counters["reached_accepted"],
        "stopped_itself": campaign.paused_by == THE_PRODUCT,
        "scheduled_local": _scheduled_local(campaign),
        "can_retry": counters["failed"] + counters["rejected"] > 0,
        "limits": _limits(),
        "links": _links(campaign_id, jobs["import_job"]),
        "test_mail": progress.latest_test_mail(session(), campaign_id) if editable else None,
        "people": people_of(campaign, counters),
        "opened": opened_of(campaign),
        "doubts": doubt.summarise(session(), campaign_id) if counters["in_doubt"] else None,
        "next_in": next_in,
        "live_address": url_for("campaigns.live", campaign_id=campaign_id, **view_of_address()),
        **jobs,
        "importing": jobs["import_job"] if _is_active(jobs["import_job"]) else None,
        "verifying": jobs["verify_job"] if _is_active(jobs["verify_job"]) else None,
    }


def _jobs(campaign_id: int) -> dict[str, Job | None]:
    return {
        "import_job": progress.latest_job(session(), campaign_id, JobKind.IMPORT),
        "verify_job": progress.latest_job(session(), campaign_id, JobKind.VERIFY),
    }


def _is_active(job: Job | None) -> bool:
    return job is not None and job.status in _ACTIVE_JOBS


def _limits() -> dict[str, float]:
    return {
        "bounce": settings().pause_at_bounce_percent,
        "complaint": settings().pause_at_complaint_percent,
    }


def _links(campaign_id: int, import_job: Job | None) -> dict[str, str]:
    links = {
        name: url_for(endpoint, campaign_id=campaign_id)
        if endpoint in current_app.view_functions
        else ""
        for name, endpoint in _LINKS.items()
    }
    links["import_answer"] = (
        url_for("imports.show", campaign_id=campaign_id, job_id=import_job.id)
        if import_job and "imports.show" in current_app.view_functions
        else ""
    )
    return links


def _sentence(counts: list[tuple[RecipientStatus, int]]) -> str:
    parts = [f"{number(n)} {RECIPIENT[status].word.lower()}" for status, n in counts if n]
    return ", ".join(parts) or "none yet"


def _scheduled_local(campaign: Campaign) -> str:
    """The start in the zone it was meant in: "Wed 15 Oct, 09:00 (Europe/Berlin)"."""
    if campaign.scheduled_at is None:
        return ""
    place = zone_or_utc(campaign.scheduled_zone)
    at = campaign.scheduled_at
    return f"{day(at, place, now())}, {clock(at, place)} ({place.key})"

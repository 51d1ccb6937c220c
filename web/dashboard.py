"""The dashboard: what needs a person, what runs, how the account is, what was finished."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, render_template, url_for
from sqlalchemy import func, select

import rate_limiter
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, CampaignCounters, Event
from services import event_health, progress, sending_history, workers
from services.ledger import read_counters
from web import attention, charts
from web.campaigns import Progress, bar_counts, progress_of
from web.context import now, zone
from web.database import session, settings
from web.formatting import clock, number
from web.live import shared_fragment

blueprint = Blueprint("dashboard", __name__)
_FINISHED = (CampaignStatus.SENT, CampaignStatus.CANCELLED)
#: States of the short legend; all others are one figure.
_SHORT = frozenset(
    {
        RecipientStatus.DELIVERED,
        RecipientStatus.SENT,
        RecipientStatus.DELAYED,
        RecipientStatus.BOUNCED,
        RecipientStatus.COMPLAINED,
        RecipientStatus.IN_DOUBT,
        RecipientStatus.PENDING,
    }
)
#: How many finished campaigns and drafts the dashboard shows.
_FINISHED_SHOWN, _DRAFTS_SHOWN = 8, 3


@blueprint.get("/")
def index() -> str:
    """The first page after signing in."""
    return render_template("dashboard/index.html", **dashboard_page())


@blueprint.get("/live")
def live() -> Response:
    """The same figures again."""

    def make() -> tuple[str, int]:
        page = dashboard_page()
        return render_template("dashboard/_live.html", **page), page["next_in"]

    return shared_fragment(make)


def dashboard_page() -> dict[str, Any]:
    """What the page and its live part show."""
    running = [_running(campaign) for campaign in progress.running_campaigns(session())]
    sending = any(row["campaign"].status is CampaignStatus.SENDING for row in running)
    return {
        "things": attention.things(),
        "running": running,
        "drafts": _drafts(),
        "finished": _finished(),
        "account": _account(sum(row["pace"].rate for row in running)),
        "events": _events(),
        "day": _day(),
        "week": sending_history.last_week(session(), now()),
        "limits": {
            "bounce": settings().pause_at_bounce_percent,
            "complaint": settings().pause_at_complaint_percent,
        },
        "next_in": progress.LIVE_SECONDS if sending else progress.LATE_SECONDS,
        "live_address": url_for("dashboard.live"),
        "any_campaign": bool(running) or session().scalar(select(Campaign.id).limit(1)) is not None,
    }


def _day() -> dict[str, Any] | None:
    """The mails of the last 24 hours by hour; None when there were none."""
    hours = sending_history.sent_by_hour(session(), now())
    if not any(hours):
        return None
    top, lines = charts.axis(max(hours))
    start = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=len(hours) - 1)
    ticks = [
        charts.Tick(100 * (i + 0.5) / len(hours), clock(start + timedelta(hours=i), zone()), i > 0)
        for i in range(0, len(hours) - 3, 6)
    ]
    ticks.append(charts.Tick(100, "now"))
    said = f"Mails sent in each of the last 24 hours, {number(sum(hours))} in all"
    columns = [[("st-sent", float(n))] for n in hours]
    return {"sent": sum(hours), "chart": charts.column_chart(columns, top, lines, ticks, said)}


def _running(campaign: Campaign) -> dict[str, Any]:
    counters = session().get_one(CampaignCounters, campaign.id, populate_existing=True)
    counts = bar_counts(counters)
    start = campaign.scheduled_at if campaign.status is CampaignStatus.SCHEDULED else None
    return {
        "campaign": campaign,
        "counters": counters,
        "counts": counts,
        "short": [(status, n) for status, n in counts if status in _SHORT],
        "other": sum(n for status, n in counts if status not in _SHORT),
        "progress": progress_of(counters),
        "pace": progress.pace(session(), campaign, settings(), now(), start=start),
    }


def _drafts() -> list[tuple[Campaign, int]]:
    rows = session().execute(
        select(Campaign, CampaignCounters.total)
        .join(CampaignCounters, CampaignCounters.campaign_id == Campaign.id)
        .where(Campaign.status == CampaignStatus.DRAFT)
        .order_by(Campaign.updated_at.desc())
        .limit(_DRAFTS_SHOWN)
    )
    return [(campaign, total) for campaign, total in rows]


def _finished() -> list[tuple[Campaign, dict[str, int], list[Any], Progress]]:
    rows = session().scalars(
        select(Campaign)
        .where(Campaign.status.in_(_FINISHED))
        .order_by(Campaign.id.desc())
        .limit(_FINISHED_SHOWN)
    )
    found = []
    for campaign in rows:
        counters = session().get_one(CampaignCounters, campaign.id, populate_existing=True)
        found.append(
            (
                campaign,
                read_counters(session(), campaign.id),
                bar_counts(counters),
                progress_of(counters),
            )
        )
    return found


def _account(rate: float) -> dict[str, Any]:
    """What is known of the SES account, and one verdict over it."""
    bucket = rate_limiter.read(session())
    if bucket is None or bucket.account_read_at is None:
        return {"verdict": "warn", "bucket": None, "rate": rate, "error": _error_of(bucket)}
    level = "ok"
    if bucket.production_access is False or bucket.account_error:
        level = "warn"
    if bucket.enforcement_status == "PROBATION":
        level = "warn"
    if bucket.sending_enabled is False or bucket.enforcement_status == "SHUTDOWN":
        level = "fail"
    daily = bucket.limits.max_24_hour_send
    return {
        "verdict": level,
        "bucket": bucket,
        "rate": rate,
        "error": bucket.account_error,
        "used": (bucket.limits.sent_last_24_hours or 0) + bucket.sent_here,
        "quota": daily if daily is not None and daily >= 0 else None,
        "left": bucket.quota_left(settings().ses_quota_reserve_percent),
    }


def _error_of(bucket: rate_limiter.BucketState | None) -> str | None:
    return bucket.account_error if bucket else None


def _events() -> dict[str, Any]:
    """When the last event arrived and whether a scheduler is there to take the next."""
    return {
        "last": session().scalar(select(func.max(Event.received_at))),
        "schedulers": workers.alive(session(), "scheduler"),
        "age": workers.age_seconds(session()),
        "by_minute": event_health.events_by_minute(session(), now()),
    }

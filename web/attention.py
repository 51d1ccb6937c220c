"""What waits for a person, most urgent first: for the dashboard and the figure beside its name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import current_app, g, url_for
from sqlalchemy import select

from domain.statuses import CampaignStatus
from models import Campaign, CampaignCounters, Notice
from services import workers
from services.lifecycle import THE_PRODUCT
from web.database import session
from web.formatting import count

#: A scheduler that was not seen for so many seconds is taken for gone.
_SCHEDULER_GONE = 60


@dataclass(frozen=True)
class Thing:
    """One thing that needs a person: what happened, what it means, and where to go."""

    urgency: int  # 0 first
    css: str
    icon: str
    title: str
    sentence: str
    action: str
    address: str


def things() -> list[Thing]:
    """Everything that needs a person now; read once a request."""
    if "things" not in g:
        found = [*_scheduler(), *_notices(), *_paused(), *_in_doubt()]
        g.things = sorted(found, key=lambda thing: thing.urgency)
    remembered: list[Thing] = g.things
    return remembered


def _scheduler() -> list[Thing]:
    """Only when something waits to be sent: an idle installation may do without."""
    age = workers.age_seconds(session())
    if age is not None and age < _SCHEDULER_GONE:
        return []
    waiting = session().scalar(
        select(Campaign.id)
        .where(Campaign.status.in_((CampaignStatus.SENDING, CampaignStatus.SCHEDULED)))
        .limit(1)
    )
    if waiting is None:
        return []
    return [
        Thing(
            0, "is-fail", "heart-pulse", "No scheduler is running",
            "Campaigns wait; nobody is lost. Restart the product, or run python scheduler.py "
            "on any host.",
            "See what is wrong", _address("diagnostics.index"),
        )
    ]  # fmt: skip


def _notices() -> list[Thing]:
    rows = session().scalars(select(Notice).order_by(Notice.created_at.desc()).limit(20))
    return [_from_notice(notice) for notice in rows]


def _from_notice(notice: Notice) -> Thing:
    """The first sentence of a notice is its title, the others say what to do."""
    title, _, rest = notice.text.partition(". ")
    fails = notice.severity == "fail"
    events = re.match(r"(sns|sqs|event|queue|topic)", notice.code) is not None
    return Thing(
        1 if fails else 4,
        "is-fail" if fails else "is-warn",
        "shield-x" if events else "exclamation-triangle-fill",
        title.removesuffix("."),
        rest,
        "Open the log" if events else "Run diagnostics",
        _address("notifications.index" if events else "diagnostics.index"),
    )


def _paused() -> list[Thing]:
    rows = session().scalars(
        select(Campaign)
        .where(Campaign.status == CampaignStatus.PAUSED)
        .order_by(Campaign.updated_at.desc())
        .limit(20)
    )
    return [_from_paused(campaign) for campaign in rows]


def _from_paused(campaign: Campaign) -> Thing:
    itself = campaign.paused_by == THE_PRODUCT
    return Thing(
        2 if itself else 5,
        "is-fail" if itself else "is-warn",
        "pause-fill",
        f"{campaign.name} {'stopped itself' if itself else 'is paused'}",
        campaign.reason or "Nothing is sent until it is resumed.",
        "Look at it",
        url_for("campaigns.show", campaign_id=campaign.id),
    )


def _in_doubt() -> list[Thing]:
    rows = session().execute(
        select(Campaign.id, Campaign.name, CampaignCounters.in_doubt)
        .join(CampaignCounters, CampaignCounters.campaign_id == Campaign.id)
        .where(CampaignCounters.in_doubt > 0)
        .order_by(Campaign.id.desc())
        .limit(20)
    )
    return [
        Thing(
            3, "st-in_doubt", "question-diamond",
            count(row.in_doubt, "mail is in doubt", "mails are in doubt"),
            f"{row.name}: handed to SES, the answer was lost. Not sent again; an event usually "
            "settles it.",
            f"Show the {count(row.in_doubt, 'recipient')}",
            url_for("campaigns.show", campaign_id=row.id, state="in_doubt", _anchor="recipients"),
        )
        for row in rows
    ]  # fmt: skip


def _address(endpoint: str) -> str:
    return url_for(endpoint) if endpoint in current_app.view_functions else ""

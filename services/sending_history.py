"""What was sent lately over all campaigns, for the dashboard, from figures kept anyway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Campaign, CampaignCounters, RateSample
from services.campaigns import RATE_SLOT_SECONDS

_SLOTS_OF_AN_HOUR = 3600 // RATE_SLOT_SECONDS
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Week:
    """Outcomes of the campaigns whose last mail left in the last seven days."""

    accepted: int
    bounced: int
    complained: int


def sent_by_hour(session: Session, now: datetime, hours: int = 24) -> list[int]:
    """Mails accepted in each of the last clock hours, oldest first; the last hour still runs."""
    newest = int(now.timestamp()) // 3600
    oldest = newest - hours + 1
    hour = RateSample.slot // _SLOTS_OF_AN_HOUR
    lately = Campaign.last_sent_at >= now - timedelta(hours=hours)
    rows = session.execute(
        select(hour, func.sum(RateSample.accepted))
        .join(Campaign, Campaign.id == RateSample.campaign_id)
        .where(lately, RateSample.slot >= oldest * _SLOTS_OF_AN_HOUR)
        .group_by(hour)
    )
    counts = [0] * hours
    for number, accepted in rows:
        counts[min(int(number) - oldest, hours - 1)] += int(accepted)
    return counts


def last_week(session: Session, now: datetime) -> Week:
    """Accepted, bounced and complained mails of the campaigns of the last seven days."""
    k = CampaignCounters
    sums = (
        func.coalesce(func.sum(column), 0)
        for column in (k.reached_accepted, k.reached_bounced, k.reached_complained)
    )
    row = session.execute(
        select(*sums)
        .join(Campaign, Campaign.id == k.campaign_id)
        .where(Campaign.last_sent_at >= now - _WEEK)
    ).one()
    return Week(*(int(value) for value in row))

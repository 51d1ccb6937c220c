"""What is stored of tracking levels: campaigns that wait for theirs, and the one in force.

The decision itself is pure (`domain.tracking`); what AWS says is read by the scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, func, or_, select, update
from sqlalchemy.orm import Session

from audience_models import Audience
from domain.statuses import CampaignStatus
from domain.tracking import Tracking, TrackingDecision
from models import Campaign, CampaignCounters, Event

_CAMPAIGNS = cast(Table, Campaign.__table__)
_EVENTS = cast(Table, Event.__table__)
_COUNTERS = cast(Table, CampaignCounters.__table__)
#: Of the last hour's events at most so many, the newest, are looked at.
_LOOK_AT = 20_000


@dataclass(frozen=True, slots=True)
class Undecided:
    """A campaign that begins to send and has no level yet."""

    id: int
    choice: Tracking
    recipients: int


def undecided(session: Session) -> list[Undecided]:
    """Campaigns that are sending and must not send before their level is decided."""
    c = _CAMPAIGNS.c
    to_come = func.coalesce(Audience.total - Audience.copied, 0)  # still copied from lists
    query = (
        select(c.id, c.tracking, (_COUNTERS.c.total + to_come).label("total"))
        .join(_COUNTERS, _COUNTERS.c.campaign_id == c.id)
        .outerjoin(Audience, Audience.campaign_id == c.id)
        .where(c.status == CampaignStatus.SENDING, c.tracking_in_force.is_(None))
        .where(or_(Audience.campaign_id.is_(None), Audience.frozen_at.is_not(None)))
        .order_by(c.id)
    )
    return [Undecided(row.id, Tracking(row.tracking), row.total) for row in session.execute(query)]


def keep(session: Session, campaign_id: int, decision: TrackingDecision) -> bool:
    """Record what a campaign is sent with, once: its doubt is judged by that set for ever.

    Whether it was recorded; False when another scheduler was first.
    """
    c = _CAMPAIGNS.c
    statement = (
        update(_CAMPAIGNS)
        .where(c.id == campaign_id, c.tracking_in_force.is_(None))
        .values(
            tracking_in_force=decision.level.value,
            tracking_reason=decision.reason,
            configuration_set=decision.configuration_set or None,
            delivery_published=decision.delivery_published,
        )
        .returning(c.id)
    )
    return session.execute(statement).first() is not None


def http_events_last_hour(session: Session, now: datetime) -> int:
    """Events that came through the webhook lately, among the newest ones of an hour."""
    newest: Sequence[str] = session.scalars(
        select(_EVENTS.c.door)
        .where(_EVENTS.c.received_at >= now - timedelta(hours=1))
        .order_by(_EVENTS.c.received_at.desc())
        .limit(_LOOK_AT)
    ).all()
    return sum(door == "http" for door in newest)

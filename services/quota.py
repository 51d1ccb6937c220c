"""The 24-hour quota of the account: when it has room again, and when a campaign will end."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

import rate_limiter
from config import Settings
from domain.pacing import Outlook, finish_time
from domain.windows import parse_window
from models import Campaign, RateSample
from rate_limiter import BucketState
from services import lifecycle
from services.campaigns import RATE_SLOT_SECONDS
from services.ledger import read_counters
from services.lifecycle import Wait

_DAY = timedelta(days=1)
#: When nothing tells when quota comes back (others used it up), say an hour; it is read anew
#: every minute anyway.
_UNKNOWN_WAIT = timedelta(hours=1)


def free_again_at(session: Session, now: datetime) -> datetime:
    """When the quota has room again: a day after our oldest mail of the last 24 hours.

    The quota is a rolling window (AWS, "Managing your sending quotas"). An estimate where
    other programs share the account.
    """
    day_ago = int((now - _DAY).timestamp()) // RATE_SLOT_SECONDS
    oldest = session.scalar(select(func.min(RateSample.slot)).where(RateSample.slot > day_ago))
    if oldest is None:
        return now.replace(second=0, microsecond=0) + _UNKNOWN_WAIT
    return datetime.fromtimestamp(oldest * RATE_SLOT_SECONDS, UTC) + _DAY


def say_used_up(
    session: Session, campaign_ids: Collection[int], bucket: BucketState, now: datetime
) -> None:
    """Campaigns that could send say that they wait for quota, and until when."""
    until = free_again_at(session, now)
    daily = bucket.limits.max_24_hour_send
    figure = f" of {daily:,.0f} mails" if daily is not None and daily >= 0 else ""
    sentence = (
        f"The account's 24-hour quota{figure} is used up (less what is left to other senders). "
        "Sending goes on by itself when SES gives room again."
    )
    lifecycle.wait_for(session, campaign_ids, Wait.QUOTA, sentence, until)


def finish_estimate(
    session: Session,
    campaign: Campaign,
    settings: Settings,
    now: datetime,
    *,
    rate: float | None = None,
    to_come: int = 0,
) -> datetime | None:
    """When the campaign's last mail will leave; None if it never will or nobody can say.

    `rate` (mails a second) is what it would get; without it, its share of the rate in force.
    `to_come` are mails beside the waiting rows: people of lists who are no rows yet.
    The same before launch and while sending.
    """
    bucket = rate_limiter.read(session)
    counters = read_counters(session, campaign.id)
    if bucket is None:
        return None
    reserve = settings.ses_quota_reserve_percent
    daily = bucket.limits.max_24_hour_send
    unlimited = daily is None or daily < 0
    outlook = Outlook(
        rate=_share(session, campaign, bucket) if rate is None else rate,
        quota_left=bucket.quota_left(reserve),
        quota_per_day=None if unlimited else math.floor((daily or 0) * (1 - reserve / 100)),
        batch_size=campaign.batch_size,
        batch_pause_seconds=campaign.batch_pause_seconds,
        window=parse_window(
            campaign.window_days, campaign.window_start, campaign.window_end, campaign.window_zone
        ),
    )
    return finish_time(now, counters["pending"] + counters["sending"] + to_come, outlook)


def _share(session: Session, campaign: Campaign, bucket: BucketState) -> float:
    """Its equal part of the permits, no more than its own cap."""
    others = sum(c.id != campaign.id for c in lifecycle.sending_campaigns(session))
    share = bucket.pace.rate / (others + 1)
    return share if campaign.cap_per_second is None else min(share, campaign.cap_per_second)

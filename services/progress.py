"""How a campaign is getting on: its rate, when it ends, and who would get it.

Read-only figures for pages and for the decision to start; the counters themselves belong to
`services.ledger`, the arithmetic of pace to `domain.pacing`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

import rate_limiter
from config import Settings
from domain.statuses import REPORT_WAIT_SECONDS, CampaignStatus, JobKind
from models import Campaign, Job, RateSample, TestMail
from services import audience_query
from services.campaigns import RATE_SLOT_SECONDS, current_rate
from services.left_out import left_out
from services.quota import finish_estimate

#: The curve of the rate covers this many slots of RATE_SLOT_SECONDS.
CURVE_SLOTS = 60
#: Seconds between two looks at a campaign: while mails go out, and from the last of them on.
LIVE_SECONDS = 2
LATE_SECONDS = 30
_CHANCE = random.SystemRandom()
#: What SES charges for 1,000 mails, in US dollars (https://aws.amazon.com/ses/pricing/).
DOLLARS_PER_THOUSAND = 0.10


@dataclass(frozen=True)
class Pace:
    """How fast a campaign sends and until when. Rates in mails a second."""

    rate: float
    curve: tuple[float, ...]  # mean rate of each slot, oldest first
    limit: float
    limit_reason: str
    finishes_at: datetime | None
    quota_left: int | None  # None = unlimited or unknown


@dataclass(frozen=True)
class Audience:
    """Who would get the mail if it started now; the parts add up to `total`."""

    total: int
    receives: int
    skipped_already: int
    suppressed: int
    undeliverable: int
    doubted: int  # left out by the campaign's choice
    done: int  # had their turn in an earlier run
    from_lists: int = 0  # of the total: not copied into the ledger yet
    about: bool = False  # suppressed and undeliverable are estimated

    @property
    def cost(self) -> float:
        """What SES charges for the mails, in US dollars."""
        return self.receives * DOLLARS_PER_THOUSAND / 1000


def pace(
    session: Session,
    campaign: Campaign,
    settings: Settings,
    now: datetime,
    *,
    start: datetime | None = None,
    to_come: int = 0,
) -> Pace:
    """The pace of a campaign that goes on now, or from `start` on, with `to_come` mails beside
    the waiting rows."""
    bucket = rate_limiter.read(session)
    limit, reason = settings.max_emails_per_second, ""
    if bucket and bucket.account_read_at:
        limit, reason = bucket.pace.rate, bucket.rate_reason or ""
    if campaign.cap_per_second and campaign.cap_per_second < limit:
        limit, reason = campaign.cap_per_second, "This is the campaign’s own limit."
    rate = current_rate(session, campaign.id, now)
    begins = max(moment for moment in (now, start, campaign.waiting_until) if moment)
    measured = rate if rate > 0 and start is None else None
    return Pace(
        rate=rate,
        curve=_curve(session, campaign.id, now),
        limit=limit,
        limit_reason=reason or f"MAX_EMAILS_PER_SECOND is {settings.max_emails_per_second:g}.",
        finishes_at=finish_estimate(
            session, campaign, settings, begins, rate=measured, to_come=to_come
        ),
        quota_left=bucket.quota_left(settings.ses_quota_reserve_percent) if bucket else None,
    )


def _curve(session: Session, campaign_id: int, now: datetime) -> tuple[float, ...]:
    newest = int(now.timestamp()) // RATE_SLOT_SECONDS
    rows = session.execute(
        select(RateSample.slot, RateSample.accepted).where(
            RateSample.campaign_id == campaign_id,
            RateSample.slot >= newest - CURVE_SLOTS,
            RateSample.slot < newest,
        )
    )
    accepted = {int(row.slot): int(row.accepted) for row in rows}
    if not accepted:
        return ()
    slots = range(max(min(accepted), newest - CURVE_SLOTS), newest)
    return tuple(accepted.get(slot, 0) / RATE_SLOT_SECONDS for slot in slots)


def audience(session: Session, campaign: Campaign, counters: Mapping[str, int]) -> Audience:
    """Who would get the mail now; the figures of a long list are estimated in part."""
    pending, skipped = counters["pending"], counters["skipped"]
    found = left_out(session, campaign, pending)
    to_come = audience_query.to_come(session, campaign, _CHANCE)
    suppressed = found.suppressed + to_come.suppressed
    undeliverable = found.undeliverable + to_come.undeliverable
    doubted = found.doubted + to_come.doubted
    return Audience(
        total=counters["total"] + to_come.people,
        receives=pending + to_come.people - suppressed - undeliverable - doubted,
        skipped_already=skipped,
        suppressed=suppressed,
        undeliverable=undeliverable,
        doubted=doubted,
        done=counters["total"] - pending - skipped,
        from_lists=to_come.people,
        about=found.about or to_come.about,
    )


def is_over(campaign: Campaign, counters: Mapping[str, int], now: datetime) -> bool:
    """Whether every recipient is in a final state, so that a page need not look again."""
    if counters["pending"] + counters["sending"] + counters["in_doubt"]:
        return False
    if not counters["sent"] + counters["delayed"] or not campaign.delivery_published:
        return True
    last = campaign.last_sent_at
    return last is not None and (now - last).total_seconds() >= REPORT_WAIT_SECONDS


def seconds_to_next_look(campaign: Campaign, counters: Mapping[str, int], now: datetime) -> int:
    """How long a page waits before it asks for new figures; 0 = no more."""
    if campaign.status is CampaignStatus.DRAFT:
        return 0
    if campaign.status is CampaignStatus.SCHEDULED:
        due = campaign.scheduled_at
        return LIVE_SECONDS if due and due - now < timedelta(minutes=2) else LATE_SECONDS
    ended = campaign.status in (CampaignStatus.SENT, CampaignStatus.CANCELLED)
    if ended and is_over(campaign, counters, now):
        return 0
    if campaign.status is CampaignStatus.SENDING or counters["sending"]:
        return LIVE_SECONDS
    return LATE_SECONDS


def running_campaigns(session: Session, limit: int = 20) -> list[Campaign]:
    """Campaigns that send, are paused or wait for their time: running ones first."""
    order = {CampaignStatus.SENDING: 0, CampaignStatus.PAUSED: 1, CampaignStatus.SCHEDULED: 2}
    found = session.scalars(
        select(Campaign)
        .where(or_(*(Campaign.status == status for status in order)))
        .order_by(Campaign.id.desc())
        .limit(limit)
    )
    return sorted(found, key=lambda campaign: (order[campaign.status], -campaign.id))


def latest_job(session: Session, campaign_id: int, kind: JobKind) -> Job | None:
    """The newest piece of background work of a kind for a campaign."""
    return session.scalar(
        select(Job)
        .where(Job.campaign_id == campaign_id, Job.kind == kind)
        .order_by(Job.id.desc())
        .limit(1)
    )


def latest_test_mail(session: Session, campaign_id: int) -> TestMail | None:
    """The newest test mail of a campaign."""
    return session.scalar(
        select(TestMail)
        .where(TestMail.campaign_id == campaign_id)
        .order_by(TestMail.id.desc())
        .limit(1)
    )

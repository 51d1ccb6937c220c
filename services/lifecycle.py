"""What a campaign does by itself: start when due, wait, stop for trouble, end.

A person's deeds are in services.campaigns. Every wait and stop carries a code and a sentence.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, cast

from sqlalchemy import Select, Table, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from audience_models import Audience
from database import epoch_now
from domain.schedule import is_too_late
from domain.statuses import CampaignStatus
from domain.windows import SendWindow, parse_window
from models import Campaign, CampaignCounters

_CAMPAIGNS = cast(Table, Campaign.__table__)
_COUNTERS = cast(Table, CampaignCounters.__table__)
#: Who pauses when no person does.
THE_PRODUCT = "the product"


class Wait(StrEnum):
    """What a sending campaign waits for: its `reason_code` meanwhile."""

    QUOTA = "quota"
    WINDOW = "window"
    BATCH = "batch"
    IN_DOUBT = "in_doubt"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class SendingCampaign:
    """What the sender needs to know of a campaign that is sending."""

    id: int
    content_version: int
    send_undeliverable: bool
    cap_per_second: float | None
    batch_size: int | None
    batch_pause_seconds: int | None
    batch_left: int | None
    window: SendWindow | None
    waiting_until: datetime | None
    reason_code: str | None
    tracking_decided: bool  # nothing goes out before that (services.tracking)
    send_api: str | None  # of config.SendApi; None = not decided yet

    def waits(self, now: datetime) -> bool:
        """Whether the pause between two batches or a closed window holds it back now."""
        if self.window is not None and not self.window.is_open(now):
            return True
        resting = self.reason_code == Wait.BATCH and self.waiting_until is not None
        return resting and now < cast(datetime, self.waiting_until)


def sending_campaigns(session: Session, *, with_pending: bool = True) -> list[SendingCampaign]:
    """Campaigns that are sending, by id; only those with pending rows unless told otherwise."""
    query = _sending_query(with_pending)
    return [_sending_campaign(row) for row in session.connection().execute(query)]


@cache
def _sending_query(with_pending: bool) -> Select[Any]:
    """Made once: making it costs more than running it."""
    c = _CAMPAIGNS.c
    query: Select[Any] = select(
        c.id, c.content_version, c.send_undeliverable, c.cap_per_second, c.batch_size,
        c.batch_pause_seconds, c.batch_left, c.window_days, c.window_start, c.window_end,
        c.window_zone, c.waiting_until, c.reason_code, c.tracking_in_force,
        c.send_api,
    ).where(c.status == CampaignStatus.SENDING)  # fmt: skip
    if with_pending:
        # The counter, not the rows: behind an old snapshot all that were sent are still in the
        # index of pending rows, and a look for the first one passes them all.
        query = query.join(_COUNTERS, _COUNTERS.c.campaign_id == c.id)
        query = query.where(_COUNTERS.c.pending > 0)
    return query.order_by(c.id)


def _sending_campaign(row: Any) -> SendingCampaign:
    window = parse_window(row.window_days, row.window_start, row.window_end, row.window_zone)
    return SendingCampaign(
        id=row.id,
        content_version=row.content_version,
        send_undeliverable=row.send_undeliverable,
        cap_per_second=row.cap_per_second,
        batch_size=row.batch_size,
        batch_pause_seconds=row.batch_pause_seconds,
        batch_left=row.batch_left,
        window=window,
        waiting_until=row.waiting_until,
        reason_code=row.reason_code,
        tracking_decided=row.tracking_in_force is not None,
        send_api=row.send_api,
    )


def start_due(session: Session, now: datetime) -> list[int]:
    """Scheduled campaigns whose time has come begin to send; the ids.

    One found more than six hours late is paused instead: nobody expects it any more.
    """
    query = (
        select(Campaign)
        .where(Campaign.status == CampaignStatus.SCHEDULED, Campaign.scheduled_at <= now)
        .order_by(Campaign.id)
        .with_for_update(skip_locked=True)
    )
    started = []
    for campaign in session.scalars(query):
        due = cast(datetime, campaign.scheduled_at)
        campaign.updated_at = now
        if is_too_late(due, now):
            campaign.status = CampaignStatus.PAUSED
            campaign.reason_code = "late"
            campaign.paused_by = THE_PRODUCT
            campaign.reason = (
                f"It was due at {due:%Y-%m-%d %H:%M} UTC, but nothing was running. "
                "Press Resume to send it now, or cancel it."
            )
        else:
            campaign.status = CampaignStatus.SENDING
            campaign.reason = campaign.reason_code = None
            started.append(campaign.id)
    session.flush()
    return started


def finish_done(session: Session, now: datetime) -> list[int]:
    """Sending campaigns without a pending, sending or in-doubt row become `sent`; the ids.

    Not while recipients are still copied from lists (services.audiences).
    """
    c, k = _CAMPAIGNS.c, _COUNTERS.c
    open_rows = k.pending + k.sending + k.in_doubt
    done = exists().where(k.campaign_id == c.id, open_rows == 0)
    preparing = exists().where(Audience.campaign_id == c.id, Audience.copied_at.is_(None))
    statement = (
        update(_CAMPAIGNS)
        .where(c.status == CampaignStatus.SENDING, done, ~preparing)
        .values(
            status=CampaignStatus.SENT,
            finished_at=now,
            updated_at=now,
            reason=None,
            reason_code=None,
            waiting_until=None,
        )
        .returning(c.id)
    )
    return list(session.execute(statement).scalars())


def note_doubt(session: Session) -> None:
    """Campaigns that only wait for rows in doubt say so; others stop saying it."""
    c, k = _CAMPAIGNS.c, _COUNTERS.c
    query = (
        select(c.id, k.in_doubt)
        .join(_COUNTERS, k.campaign_id == c.id)
        .where(c.status == CampaignStatus.SENDING, k.pending + k.sending == 0, k.in_doubt > 0)
    )
    for campaign_id, count in session.execute(query).all():
        mails = "1 mail is" if count == 1 else f"{count:,} mails are"
        wait_for(
            session,
            [campaign_id],
            Wait.IN_DOUBT,
            f"{mails} in doubt: handed to SES without an answer. Events from SES settle them; "
            "the campaign page shows what is known.",
            None,
        )
    free = exists().where(k.campaign_id == c.id, or_(k.pending + k.sending > 0, k.in_doubt == 0))
    session.execute(
        update(_CAMPAIGNS)
        .where(c.status == CampaignStatus.SENDING, c.reason_code == Wait.IN_DOUBT, free)
        .values(reason=None, reason_code=None, waiting_until=None)
    )


def wait_for(
    session: Session,
    campaign_ids: Collection[int],
    code: Wait,
    sentence: str,
    until: datetime | None,
) -> int:
    """Say what sending campaigns wait for; how many of them did not say so yet."""
    c = _CAMPAIGNS.c
    other_time = (
        c.waiting_until.is_not(None)
        if until is None
        else or_(c.waiting_until.is_(None), c.waiting_until != until)
    )
    changed = or_(c.reason_code.is_(None), c.reason_code != code, c.reason != sentence, other_time)
    statement = (
        update(_CAMPAIGNS)
        .where(c.id.in_(sorted(campaign_ids)), c.status == CampaignStatus.SENDING, changed)
        .values(reason=sentence, reason_code=code.value, waiting_until=until)
        .returning(c.id)
    )
    return len(session.execute(statement).all())


def go_on(session: Session, campaign_ids: Collection[int], codes: Collection[Wait]) -> None:
    """Sending campaigns stop saying that they wait for any of `codes`.

    But for a pause between batches that another sender has begun meanwhile.
    """
    c = _CAMPAIGNS.c
    session.execute(
        update(_CAMPAIGNS)
        .where(
            and_(c.id.in_(sorted(campaign_ids)), c.status == CampaignStatus.SENDING),
            c.reason_code.in_([code.value for code in codes]),
            or_(c.reason_code != Wait.BATCH, c.waiting_until <= epoch_now()),
        )
        .values(reason=None, reason_code=None, waiting_until=None)
    )


def stop(
    session: Session, campaign_ids: Collection[int] | None, code: str, sentence: str, now: datetime
) -> list[int]:
    """Pause sending campaigns (None = all) for a reason that needs a person; the ids."""
    c = _CAMPAIGNS.c
    statement = (
        update(_CAMPAIGNS)
        .where(c.status == CampaignStatus.SENDING)
        .values(
            status=CampaignStatus.PAUSED,
            reason=sentence,
            reason_code=code[:40],
            waiting_until=None,
            paused_by=THE_PRODUCT,
            updated_at=now,
        )
        .returning(c.id)
    )
    if campaign_ids is not None:
        statement = statement.where(c.id.in_(sorted(campaign_ids)))
    return list(session.execute(statement).scalars())


def decide_send_api(session: Session, campaign_id: int, api: str, reason: str | None) -> None:
    """Keep how the campaign's mails go out from now on, and why if it is not as wanted."""
    session.execute(
        update(_CAMPAIGNS)
        .where(_CAMPAIGNS.c.id == campaign_id)
        .values(send_api=api, send_api_reason=reason)
    )


def spend_batch(session: Session, campaign: SendingCampaign, claimed: int, now: datetime) -> bool:
    """Take `claimed` mails from the campaign's batch; an empty one starts its pause.

    False when other senders have taken them, or it is paused by now: then nothing may be sent.
    """
    if not campaign.batch_size or not claimed:
        return True
    c = _CAMPAIGNS.c
    left = func.coalesce(c.batch_left, campaign.batch_size) - claimed
    goes_on = or_(c.reason_code.is_(None), c.reason_code != Wait.BATCH, c.waiting_until <= now)
    mine = and_(c.id == campaign.id, c.status == CampaignStatus.SENDING)
    spent = update(_CAMPAIGNS).where(mine, left >= 0, goes_on).values(batch_left=left)
    found = session.execute(spent.returning(c.batch_left)).scalar()
    if found == 0:
        pause = campaign.batch_pause_seconds or 0
        values: dict[str, Any] = {
            "batch_left": campaign.batch_size,
            "reason_code": Wait.BATCH.value,
            "waiting_until": now + timedelta(seconds=pause),
            "reason": f"Pausing for {pause} seconds between batches of {campaign.batch_size}.",
        }
        session.execute(update(_CAMPAIGNS).where(mine).values(values))
    return found is not None


def mark_first_and_last(session: Session, sent: dict[int, tuple[datetime, datetime]]) -> None:
    """Keep when the first and the last mail of campaigns left: id → (first, last) of a flush."""
    c = _CAMPAIGNS.c
    for campaign_id in sorted(sent):
        first, last = sent[campaign_id]
        session.execute(update(_CAMPAIGNS).where(c.id == campaign_id).values(last_sent_at=last))
        session.execute(
            update(_CAMPAIGNS)
            .where(c.id == campaign_id, c.first_sent_at.is_(None))
            .values(first_sent_at=first)
        )

"""What campaigns do by themselves: start, wait, stop for the guard, end; and heartbeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

import rate_limiter
from config import Settings
from database import writing
from domain.pacing import AccountLimits
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, CampaignCounters, RateSample, Worker
from rate_limiter import AccountReading
from services import guard, lifecycle, quota, workers
from services.lifecycle import Wait
from tests.ledger_rows import add_campaign


def scheduled(session: Session, due: datetime) -> int:
    with writing(session):
        return add_campaign(session, 1, status=CampaignStatus.SCHEDULED, scheduled_at=due)


def campaign_of(session: Session, campaign_id: int) -> Campaign:
    session.rollback()
    return session.get_one(Campaign, campaign_id, populate_existing=True)


def test_scheduled_campaign_begins_when_its_time_has_come(session: Session, now: datetime) -> None:
    early = scheduled(session, now + timedelta(seconds=1))
    due = scheduled(session, now)
    with writing(session):
        assert lifecycle.start_due(session, now) == [due]
    assert campaign_of(session, due).status is CampaignStatus.SENDING
    assert campaign_of(session, early).status is CampaignStatus.SCHEDULED


def test_campaign_found_more_than_six_hours_late_waits_for_a_person(
    session: Session, now: datetime
) -> None:
    late = scheduled(session, now - timedelta(hours=6, minutes=1))
    with writing(session):
        assert lifecycle.start_due(session, now) == []
    campaign = campaign_of(session, late)
    assert campaign.status is CampaignStatus.PAUSED
    assert campaign.reason == (
        "It was due at 2026-03-02 02:59 UTC, but nothing was running. "
        "Press Resume to send it now, or cancel it."
    )


@pytest.mark.parametrize("status", list(RecipientStatus))
def test_campaign_is_sent_only_when_no_row_is_open(
    session: Session, now: datetime, status: RecipientStatus
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 1, rows={"status": status})
        done = lifecycle.finish_done(session, now)
    still_open = status in ("pending", "sending", "in_doubt")
    assert done == ([] if still_open else [campaign_id])
    campaign = campaign_of(session, campaign_id)
    assert (campaign.finished_at is None) is still_open


def test_campaign_that_only_waits_for_doubt_says_so_until_it_does_not(
    session: Session, now: datetime
) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 1, rows={"status": RecipientStatus.IN_DOUBT})
        lifecycle.note_doubt(session)
    assert (campaign_of(session, campaign_id).reason or "").startswith("1 mail is in doubt")
    with writing(session):
        session.execute(update(CampaignCounters).values(pending=1))
        lifecycle.note_doubt(session)
    assert campaign_of(session, campaign_id).reason is None


def test_wait_is_written_once_and_taken_back(session: Session, now: datetime) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 1)
        assert lifecycle.wait_for(session, [campaign_id], Wait.QUOTA, "Waiting.", now) == 1
        assert lifecycle.wait_for(session, [campaign_id], Wait.QUOTA, "Waiting.", now) == 0
    campaign = campaign_of(session, campaign_id)
    assert (campaign.status, campaign.waiting_until) == (CampaignStatus.SENDING, now)
    with writing(session):
        lifecycle.go_on(session, [campaign_id], [Wait.QUOTA])
    assert campaign_of(session, campaign_id).waiting_until is None


def test_stop_of_all_leaves_what_a_person_paused_alone(session: Session, now: datetime) -> None:
    with writing(session):
        sending = add_campaign(session, 1)
        add_campaign(session, 1, status=CampaignStatus.PAUSED, reason="mine")
        assert lifecycle.stop(session, None, "account_suspended", "AWS says no.", now) == [sending]
    campaign = campaign_of(session, sending)
    assert (campaign.status, campaign.reason) == (CampaignStatus.PAUSED, "AWS says no.")
    assert campaign.paused_by == lifecycle.THE_PRODUCT


def test_batch_that_is_spent_starts_its_pause(session: Session, now: datetime) -> None:
    with writing(session):
        campaign_id = add_campaign(session, 1, batch_size=10, batch_pause_seconds=60, batch_left=4)
        (campaign,) = lifecycle.sending_campaigns(session)
        lifecycle.spend_batch(session, campaign, 3, now)
    (campaign,) = lifecycle.sending_campaigns(session)
    assert (campaign.batch_left, campaign.waits(now)) == (1, False)
    with writing(session):
        lifecycle.spend_batch(session, campaign, 1, now)
    (campaign,) = lifecycle.sending_campaigns(session)
    assert campaign.batch_left == 10
    assert campaign.waits(now + timedelta(seconds=59))
    assert not campaign.waits(now + timedelta(seconds=61))
    assert campaign_of(session, campaign_id).waiting_until == now + timedelta(seconds=60)


def test_senders_that_read_the_same_batch_do_not_exceed_it_together(
    session: Session, now: datetime
) -> None:
    with writing(session):
        add_campaign(session, 1, batch_size=10, batch_pause_seconds=60)
        (read,) = lifecycle.sending_campaigns(session)
        assert lifecycle.spend_batch(session, read, 6, now)
        assert not lifecycle.spend_batch(session, read, 6, now)
        assert lifecycle.spend_batch(session, read, 4, now)
        assert not lifecycle.spend_batch(session, read, 1, now)  # its pause has begun
        later = now + timedelta(seconds=61)
        assert lifecycle.spend_batch(session, read, 1, later)


def test_going_on_does_not_end_a_pause_between_batches_that_has_just_begun(
    session: Session,
) -> None:
    now = datetime.now(UTC)
    with writing(session):
        campaign_id = add_campaign(session, 1, batch_size=1, batch_pause_seconds=600)
        (read,) = lifecycle.sending_campaigns(session)
        assert lifecycle.spend_batch(session, read, 1, now)
        lifecycle.go_on(session, [campaign_id], [Wait.BATCH])
    assert campaign_of(session, campaign_id).reason_code == Wait.BATCH


def counted(session: Session, **figures: int) -> int:
    with writing(session):
        campaign_id = add_campaign(session, 1)
        session.execute(
            update(CampaignCounters)
            .where(CampaignCounters.campaign_id == campaign_id)
            .values({f"reached_{name}": value for name, value in figures.items()})
        )
    return campaign_id


@pytest.mark.parametrize(
    ("figures", "stops"),
    [
        ({"accepted": 200, "delivered": 94, "bounced": 6}, False),  # 3 %
        ({"accepted": 100, "delivered": 95, "bounced": 5}, True),
        ({"accepted": 99, "delivered": 50, "bounced": 49}, False),  # fewer than 100 outcomes
        ({"accepted": 1000, "delivered": 1000, "complained": 2}, False),  # at least 3
        ({"accepted": 1000, "delivered": 1000, "complained": 3}, True),
        ({"accepted": 4000, "delivered": 4000, "complained": 3}, False),  # 0.075 %
    ],
)
def test_guard_pauses_at_its_limits_and_not_before(
    session: Session, settings: Settings, now: datetime, figures: dict[str, int], stops: bool
) -> None:
    campaign_id = counted(session, **figures)
    with writing(session):
        assert guard.check(session, settings, now) == ([campaign_id] if stops else [])
    campaign = campaign_of(session, campaign_id)
    assert campaign.status is (CampaignStatus.PAUSED if stops else CampaignStatus.SENDING)
    if stops:
        assert "%" in (campaign.reason or "")


def test_overruled_guard_counts_afresh(session: Session, settings: Settings, now: datetime) -> None:
    campaign_id = counted(session, accepted=100, delivered=90, bounced=10)
    with writing(session):
        guard.overrule(session, campaign_id)
        assert guard.check(session, settings, now) == []
        session.execute(
            update(CampaignCounters).values(
                reached_accepted=200, reached_delivered=180, reached_bounced=20
            )
        )
    with writing(session):
        assert guard.check(session, settings, now) == [campaign_id]


def test_guard_can_be_switched_off(environment: dict[str, str], session: Session) -> None:
    off = {"PAUSE_AT_BOUNCE_PERCENT": "0", "PAUSE_AT_COMPLAINT_PERCENT": "0"}
    figures = {"accepted": 100, "delivered": 0, "bounced": 100, "complained": 50,
               "soft_bounced": 0}  # fmt: skip
    counters = {f"reached_{name}": value for name, value in figures.items()}
    assert guard.gauge(counters, None, Settings.from_env(environment | off)).verdict is None
    assert guard.gauge(counters, None, Settings.from_env(environment)).verdict is not None


def test_quota_is_free_again_a_day_after_our_oldest_mail(session: Session, now: datetime) -> None:
    oldest = int((now - timedelta(hours=3)).timestamp()) // 5
    with writing(session):
        campaign_id = add_campaign(session, 1)
        for slot in (oldest - 20_000, oldest, oldest + 10):
            session.add(RateSample(campaign_id=campaign_id, slot=slot, accepted=1))
    assert quota.free_again_at(session, now) == now + timedelta(hours=21)


def test_finish_estimate_knows_quota_and_the_share_of_other_campaigns(
    session: Session, settings: Settings, now: datetime
) -> None:
    reading: Any = AccountReading(AccountLimits(14, 1000, 0), True, True, "HEALTHY")
    with writing(session):
        campaign_id = add_campaign(session, 50)
        add_campaign(session, ["other@example.com"])
        rate_limiter.store_account(session, reading, wanted_rate=10, reserve_percent=10)
    campaign = campaign_of(session, campaign_id)
    ends = quota.finish_estimate(session, campaign, settings, now)
    assert ends == now + timedelta(seconds=10)  # half of ten a second
    with writing(session):
        session.execute(update(CampaignCounters).values(pending=2000))
    ends = quota.finish_estimate(session, campaign, settings, now)
    assert ends is not None
    assert timedelta(days=2) < ends - now < timedelta(days=2, minutes=2)


def test_heartbeats_tell_who_is_alive(session: Session, now: datetime) -> None:
    assert workers.age_seconds(session) is None
    with writing(session):
        workers.beat(session, "one", "scheduler", {"pid": 1}, now)
        workers.beat(session, "one", "scheduler", {"pid": 2}, now)
        workers.beat(session, "two", "sender", {}, now)
    assert (workers.alive(session), workers.alive(session, "scheduler")) == (2, 1)
    assert (workers.age_seconds(session) or 0) < 60
    assert session.scalars(select(Worker.details).order_by(Worker.id)).all() == [{"pid": 2}, {}]
    with writing(session):
        workers.leave(session, "one")
    assert workers.alive(session) == 1

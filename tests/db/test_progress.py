"""Who would get a campaign, how fast it goes, when it ends, and when a page looks again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

import rate_limiter
from database import writing
from domain.statuses import CampaignStatus, Fact, JobKind, SuppressionReason, Verdict
from models import Bucket, Job, RateSample
from services import left_out, progress, suppression
from services.ledger import read_counters
from tests.factories import add_campaign, add_recipients

SENT = Fact.CLAIMED | Fact.ACCEPTED


def test_audience_adds_up_and_counts_nobody_twice(session: Session, now: datetime) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, [f"{i}@example.com" for i in range(5)], now)
        bad = Verdict.UNDELIVERABLE
        add_recipients(session, campaign, ["x@example.com", "y@example.com"], now, verdict=bad)
        add_recipients(session, campaign, ["s@example.com"], now, facts=Fact.SKIPPED)
        add_recipients(session, campaign, ["d@example.com"], now, facts=SENT)
        for address in ("0@example.com", "x@example.com", "s@example.com", "other@example.com"):
            suppression.suppress(session, address, SuppressionReason.MANUAL, "By hand.", None, now)
    counters = read_counters(session, campaign.id)
    found = progress.audience(session, campaign, counters)
    assert found == progress.Audience(
        total=9, receives=4, skipped_already=1, suppressed=2, undeliverable=1, doubted=0, done=1
    )
    campaign.send_undeliverable = True
    assert progress.audience(session, campaign, counters).receives == 5
    assert progress.Audience(0, 10_000, 0, 0, 0, 0, 0).cost == pytest.approx(1.0)


def test_who_is_left_out_of_a_long_list_is_estimated_from_its_parts(
    session: Session, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_out, "COUNTED_ROWS", 100)
    monkeypatch.setattr(left_out, "_PARTS", 5)
    monkeypatch.setattr(left_out, "_ROWS_OF_A_PART", 20)
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(session, campaign, [f"{i}@example.com" for i in range(200)], now)
        bad = Verdict.UNDELIVERABLE
        add_recipients(session, campaign, [f"b{i}@example.com" for i in range(200)], now,
                       verdict=bad)  # fmt: skip
        for i in range(200):
            suppression.suppress(
                session, f"{i}@example.com", SuppressionReason.MANUAL, "By hand.", None, now
            )
    counters = read_counters(session, campaign.id)
    found = progress.audience(session, campaign, counters)
    assert found.about
    assert 200 - 40 <= found.suppressed <= 200 + 40
    assert 200 - 40 <= found.undeliverable <= 200 + 40
    assert found.receives == 400 - found.suppressed - found.undeliverable
    monkeypatch.setattr(left_out, "COUNTED_ROWS", 400)
    exact = progress.audience(session, campaign, counters)
    assert (exact.about, exact.suppressed, exact.undeliverable) == (False, 200, 200)


def test_pace_names_the_limit_that_binds(session: Session, settings: Any, now: datetime) -> None:
    with writing(session):
        campaign = add_campaign(session, now, status=CampaignStatus.SENDING)
        add_recipients(session, campaign, [f"{i}@example.com" for i in range(60)], now)
    before = progress.pace(session, campaign, settings, now)
    assert (before.limit, before.limit_reason) == (10, "MAX_EMAILS_PER_SECOND is 10.")
    assert before.rate == 0
    assert before.curve == ()
    with writing(session):
        bucket = session.get_one(Bucket, rate_limiter.SEND)
        bucket.rate, bucket.rate_reason, bucket.account_read_at = 6.0, "The account allows 6.", now
        campaign = session.merge(campaign)
        campaign.cap_per_second = 4.0
    capped = progress.pace(session, campaign, settings, now)
    assert (capped.limit, capped.limit_reason) == (4, "This is the campaign’s own limit.")
    assert capped.finishes_at == now + timedelta(seconds=15)
    campaign.cap_per_second = None
    shared = progress.pace(session, campaign, settings, now)
    assert (shared.limit, shared.limit_reason) == (6, "The account allows 6.")
    at_night = progress.pace(session, campaign, settings, now, start=now + timedelta(hours=9))
    assert at_night.finishes_at == now + timedelta(hours=9, seconds=10)
    with_lists = progress.pace(session, campaign, settings, now, to_come=120)
    assert with_lists.finishes_at == now + timedelta(seconds=30)


def test_finish_follows_the_measured_rate(session: Session, settings: Any, now: datetime) -> None:
    slot = int(now.timestamp()) // 5
    with writing(session):
        campaign = add_campaign(session, now, status=CampaignStatus.SENDING)
        add_recipients(session, campaign, [f"{i}@example.com" for i in range(60)], now)
        for back in (1, 2, 4):
            session.add(RateSample(campaign_id=campaign.id, slot=slot - back, accepted=10))
    pace = progress.pace(session, campaign, settings, now)
    assert pace.rate == 2.0
    assert pace.curve == (2.0, 0.0, 2.0, 2.0)
    assert pace.finishes_at == now + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("values", "counts", "seconds"),
    [
        ({"status": "draft"}, {"pending": 5}, 0),
        ({"status": "scheduled", "scheduled_at": timedelta(minutes=1)}, {"pending": 5}, 2),
        ({"status": "scheduled", "scheduled_at": timedelta(hours=1)}, {"pending": 5}, 30),
        ({"status": "sending"}, {"pending": 5}, 2),
        ({"status": "sending"}, {"in_doubt": 1}, 2),
        ({"status": "paused"}, {"pending": 5}, 30),
        ({"status": "paused"}, {"pending": 5, "sending": 1}, 2),
        ({"status": "sent", "last_sent_at": -timedelta(seconds=1)}, {"sent": 1}, 30),
        ({"status": "sent", "last_sent_at": -timedelta(hours=1)}, {"sent": 1}, 30),
        ({"status": "sent", "last_sent_at": -timedelta(hours=25)}, {"delayed": 1}, 0),
        ({"status": "sent", "last_sent_at": -timedelta(seconds=10)}, {"delivered": 9}, 0),
        ({"status": "sent", "delivery_published": False}, {"sent": 9}, 0),
        ({"status": "cancelled"}, {"pending": 5}, 30),
        ({"status": "cancelled"}, {"cancelled": 5}, 0),
    ],
)
def test_pages_look_again_while_something_can_change(
    session: Session, now: datetime, values: dict[str, Any], counts: dict[str, int], seconds: int
) -> None:
    moments = {name: now + v for name, v in values.items() if isinstance(v, timedelta)}
    with writing(session):
        campaign = add_campaign(
            session, now, **{**values, **moments, "status": CampaignStatus(values["status"])}
        )
    counters = {**read_counters(session, campaign.id), **counts}
    assert progress.seconds_to_next_look(campaign, counters, now) == seconds


def test_newest_work_of_a_kind_is_found(session: Session, now: datetime) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        for kind in (JobKind.IMPORT, JobKind.IMPORT, JobKind.VERIFY):
            session.add(Job(kind=kind, campaign_id=campaign.id, created_at=now))
            session.flush()
        drafts = add_campaign(session, now, status=CampaignStatus.PAUSED)
    newest = progress.latest_job(session, campaign.id, JobKind.IMPORT)
    assert newest is not None
    assert newest.id == 2
    assert progress.latest_job(session, campaign.id, JobKind.TEST_MAIL) is None
    assert [c.id for c in progress.running_campaigns(session)] == [drafts.id]

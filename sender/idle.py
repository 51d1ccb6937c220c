"""Whether anything is left to do, for `--until-idle` (DESIGN section 8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session, sessionmaker

from config import InDoubtPolicy, Settings
from database import epoch_now
from domain.statuses import CampaignStatus, EventStatus, JobStatus
from models import Campaign, CampaignCounters, Event, Job
from services import doubt, lifecycle, signup_mails
from services.lifecycle import THE_PRODUCT, Wait

#: The queue must be seen empty so often, over so many seconds.
_EMPTY_POLLS = 3
_EMPTY_SECONDS = 5.0
#: How long beyond its grace a row in doubt is waited for to be judged (seconds).
_JUDGING_SECONDS = 90.0
#: Waiting for these is waiting for a later time: nothing to do now.
_LATER = frozenset({Wait.QUOTA, Wait.WINDOW, Wait.BATCH})


class IdleWatch:
    """Remembers since when the queue has been empty."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        queue_depth: Callable[[], int | None],
        clock: Callable[[], float],
        started_at: datetime,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._queue_depth = queue_depth  # visible and in flight; None = there is no queue
        self._clock = clock
        self._started_at = started_at
        self._empty_since: list[float] = []

    def is_idle(self) -> bool:
        """Look once; true when all is done and the queue stayed empty long enough."""
        with self._sessions() as session:
            done = self._nothing_due(session)
        if not done:
            self._empty_since = []
            return False
        depth = self._queue_depth()
        if depth is None:
            return True
        if depth:
            self._empty_since = []
            return False
        self._empty_since.append(self._clock())
        spread = self._empty_since[-1] - self._empty_since[0]
        return len(self._empty_since) >= _EMPTY_POLLS and spread >= _EMPTY_SECONDS

    def _nothing_due(self, session: Session) -> bool:
        now = session.scalar(select(epoch_now())) or 0.0
        claimed = session.scalar(select(func.sum(CampaignCounters.sending)))
        due = [c for c in lifecycle.sending_campaigns(session) if c.reason_code not in _LATER]
        unended = (
            select(func.count())
            .select_from(Campaign)
            .join(CampaignCounters, CampaignCounters.campaign_id == Campaign.id)
            .where(
                Campaign.status == CampaignStatus.CANCELLED,
                CampaignCounters.pending > 0,
            )
        )
        open_rows = CampaignCounters.pending + CampaignCounters.sending + CampaignCounters.in_doubt
        ends = (
            select(func.count())
            .select_from(Campaign)
            .join(CampaignCounters, CampaignCounters.campaign_id == Campaign.id)
            .where(Campaign.status == CampaignStatus.SENDING, open_rows == 0)
        )
        begins = select(func.count()).where(
            Campaign.status == CampaignStatus.SCHEDULED, Campaign.scheduled_at <= epoch_now()
        )
        jobs = select(func.count()).where(Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]))
        events = select(func.count()).where(
            text("events.status IN ('new', 'parked', 'dead')"), Event.status == EventStatus.NEW
        )
        return not (
            claimed
            or due
            or session.scalar(unended)
            or session.scalar(begins)
            or session.scalar(ends)
            or session.scalar(jobs)
            or session.scalar(events)
            or signup_mails.waiting(session, datetime.fromtimestamp(now, UTC))
            or self._doubt_to_come(session, now)
        )

    def _doubt_to_come(self, session: Session, now: float) -> bool:
        """Under `retry-unsent`, rows in doubt that the grace or the judgement is still out for."""
        if self._settings.in_doubt_policy is not InDoubtPolicy.RETRY_UNSENT:
            return False
        grace = self._settings.in_doubt_grace_seconds
        for row in doubt.rows_in_doubt(session, limit=1000):
            over_at = row.submitted_at.timestamp() + grace
            judged_at = (row.evidence or {}).get("judged_at", 0.0)
            if now < over_at or (judged_at < over_at and now < over_at + _JUDGING_SECONDS):
                return True
        return False

    def stopped_by_error(self) -> bool:
        """Whether the product has paused a campaign since this process began."""
        query = select(func.count()).where(
            Campaign.status == CampaignStatus.PAUSED,
            Campaign.paused_by == THE_PRODUCT,
            Campaign.updated_at >= self._started_at - timedelta(seconds=1),
        )
        with self._sessions() as session:
            return bool(session.scalar(query))

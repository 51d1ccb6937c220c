"""Bulk calls of a claim round: who sends in bulk, which rows share a call, and when it leaves.

What the bucket of calls does not give goes out singly beside it, so that the rate is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from sqlalchemy.orm import Session

import rate_limiter
from config import SendApi, Settings
from domain import bulk_pacing
from domain.bulk_template import MAX_ENTRIES, why_not_bulk
from rate_limiter import Slots
from sender.clocks import DatabaseClock
from sender.mails import MailMaker
from sender.pool import Work
from services import lifecycle
from services.claims import Claim, ClaimedRow
from services.lifecycle import SendingCampaign


class CallPlanner:
    """Plans the bulk calls of one sender process."""

    def __init__(self, settings: Settings, maker: MailMaker) -> None:
        self._wanted = settings.ses_send_api is SendApi.BULK
        self._start = settings.ses_bulk_calls_per_second
        self._maker = maker
        self._numbers = itertools.count(1)
        self._has_bucket = False

    def undecided(self, campaigns: Sequence[SendingCampaign]) -> list[SendingCampaign]:
        """Campaigns that should go out in bulk, if they can."""
        return [c for c in campaigns if self._wanted and c.send_api is None]

    def decide(self, session: Session, campaign: SendingCampaign) -> SendingCampaign:
        """Have a campaign say how it is sent; it has been prepared."""
        template = self._maker.mail_of(campaign.id).template
        reason = why_not_bulk(template) if template else None
        api = SendApi.SINGLE if reason else SendApi.BULK
        lifecycle.decide_send_api(session, campaign.id, api, reason)
        return replace(campaign, send_api=api)

    def goes_in_bulk(self, campaign: SendingCampaign) -> bool:
        """Whether rows of this campaign share calls."""
        return self._wanted and campaign.send_api == SendApi.BULK

    def in_reach(self, session: Session, campaigns: Sequence[SendingCampaign]) -> int | None:
        """How many bulk calls could be drawn now; None if nothing is sent in bulk."""
        if not any(self.goes_in_bulk(campaign) for campaign in campaigns):
            return None
        bucket = rate_limiter.read(session, rate_limiter.BULK)
        self._has_bucket = bucket is not None
        if bucket is None:
            return 1
        return bulk_pacing.calls_in_reach(bucket.next_slot, bucket.now, bucket.pace.rate)

    def draw(
        self, session: Session, found: dict[int, Claim], ready: Sequence[SendingCampaign], most: int
    ) -> tuple[list[list[ClaimedRow]], Slots | None]:
        """The rows that share calls, up to `most` calls, and a time for each call.

        Part of the claim's transaction; the bucket of calls comes just before the shared one.
        """
        groups = [
            found[c.id].rows[at : at + MAX_ENTRIES]
            for c in ready
            if c.id in found and self.goes_in_bulk(c)
            for at in range(0, len(found[c.id].rows), MAX_ENTRIES)
        ]
        groups = [group for group in groups if len(group) > 1][:most]
        if not groups:
            return [], None
        if not self._has_bucket:
            rate_limiter.ensure_bucket(session, rate_limiter.BULK, self._start)
        slots = rate_limiter.draw(session, len(groups), name=rate_limiter.BULK)
        return (groups, slots) if slots else ([], None)

    def join(
        self,
        works: list[Work],
        groups: list[list[ClaimedRow]],
        slots: Slots | None,
        clock: DatabaseClock,
    ) -> list[Work]:
        """The works in the order in which they leave; those of a call leave together.

        A call waits for the last slot of its rows: no mail leaves before its time.
        """
        if slots is None:
            return works
        by_row = {work.row.id: work for work in works}
        for group, slot in zip(groups, slots.draw.slots(), strict=True):
            call = next(self._numbers)
            due = max(clock.local(slot), *(by_row[row.id].due for row in group))
            for row in group:
                by_row[row.id] = by_row[row.id]._replace(due=due, call=call)
        return sorted(by_row.values(), key=attrgetter("due", "call"))

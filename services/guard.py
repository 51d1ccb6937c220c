"""The guard: too many hard bounces or complaints pause a campaign before AWS pauses the account.

AWS reviews an account at 5 % bounces or 0.1 % complaints (SES, "Reputation metrics").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from config import Settings
from models import Campaign
from services import lifecycle
from services.ledger import read_counters

#: Judge nothing before so many outcomes are known, nor on fewer complaints than that.
MIN_OUTCOMES = 100
MIN_COMPLAINTS = 3
CODE = "guard"
_WATCHED = ("reached_accepted", "reached_delivered", "reached_bounced", "reached_soft_bounced",
            "reached_complained")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gauge:
    """Where a campaign stands against the two limits; percentages of the accepted mails.

    A limit of 0 switches that half off. `verdict` is the sentence that pauses, or None.
    """

    outcomes: int
    accepted: int
    bounced: int
    complained: int
    bounce_limit: float
    complaint_limit: float

    @property
    def bounce_percent(self) -> float:
        """Hard bounces per hundred accepted mails."""
        return 100.0 * self.bounced / self.accepted if self.accepted else 0.0

    @property
    def complaint_percent(self) -> float:
        """Complaints per hundred accepted mails."""
        return 100.0 * self.complained / self.accepted if self.accepted else 0.0

    @property
    def verdict(self) -> str | None:
        """Why the campaign must pause, with figures; None while all is well."""
        if self.outcomes < MIN_OUTCOMES:
            return None
        if self.bounce_limit and self.bounce_percent >= self.bounce_limit:
            return (
                f"{self.bounced:,} of {self.accepted:,} mails bounced for good "
                f"({self.bounce_percent:.1f}%; the limit is {self.bounce_limit:g}%). AWS stops "
                "accounts for this: check where the list comes from, then resume or cancel."
            )
        complaints = self.complained >= MIN_COMPLAINTS
        if self.complaint_limit and complaints and self.complaint_percent >= self.complaint_limit:
            return (
                f"{self.complained:,} of {self.accepted:,} people complained "
                f"({self.complaint_percent:.2f}%; the limit is {self.complaint_limit:g}%). AWS "
                "stops accounts for this: check who gets this mail and why, then resume or cancel."
            )
        return None


def gauge(
    counters: Mapping[str, int], baseline: Mapping[str, int] | None, settings: Settings
) -> Gauge:
    """The gauge from a campaign's counters, counted since a person last overruled the guard."""
    since = {name: max(0, counters[name] - (baseline or {}).get(name, 0)) for name in _WATCHED}
    return Gauge(
        outcomes=since["reached_delivered"]
        + since["reached_bounced"]
        + since["reached_soft_bounced"],
        accepted=since["reached_accepted"],
        bounced=since["reached_bounced"],
        complained=since["reached_complained"],
        bounce_limit=settings.pause_at_bounce_percent,
        complaint_limit=settings.pause_at_complaint_percent,
    )


def campaign_gauge(session: Session, campaign: Campaign, settings: Settings) -> Gauge:
    """The gauge of a campaign, for its page."""
    return gauge(read_counters(session, campaign.id), campaign.guard_baseline, settings)


def check(session: Session, settings: Settings, now: datetime) -> list[int]:
    """Pause the sending campaigns that are over a limit; the ids."""
    stopped = []
    for campaign in lifecycle.sending_campaigns(session, with_pending=False):
        full = session.get_one(Campaign, campaign.id)
        verdict = campaign_gauge(session, full, settings).verdict
        if verdict is not None:
            stopped += lifecycle.stop(session, [campaign.id], CODE, verdict, now)
    return stopped


def overrule(session: Session, campaign_id: int) -> None:
    """A person resumes in spite of the guard: it counts afresh from here."""
    counters = read_counters(session, campaign_id)
    baseline = {name: counters[name] for name in _WATCHED}
    session.execute(
        update(Campaign).where(Campaign.id == campaign_id).values(guard_baseline=baseline)
    )

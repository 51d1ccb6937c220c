"""What the verdicts on a campaign's recipients amount to: whom it leaves out by whose choice,
and how many of its mails will probably bounce.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from domain.bounce_outlook import Outlook, Sendable, outlook
from domain.statuses import JobKind, JobStatus, Risk, Verdict
from models import Campaign, CampaignCounters, Job
from services import verification
from services.campaigns import EDITABLE, Refused, lock_campaign

_RUNNING = (JobStatus.QUEUED, JobStatus.RUNNING)
#: Earlier campaigns whose bounces say what to expect.
_CAMPAIGNS_BACK = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """Rows by verdict and by their set of Risk, those that are skipped for other reasons too."""

    verdicts: Mapping[Verdict, int]
    risks: Mapping[int, int]
    misspelt: Collection[str] = ()

    def with_risk(self, risk: Risk) -> int:
        """Rows for which this is one of the reasons."""
        return sum(amount for risks, amount in self.risks.items() if risks & risk)

    def left_out(self, campaign: Campaign) -> int:
        """Rows that the campaign's choice leaves out."""
        undeliverable = self.verdicts[Verdict.UNDELIVERABLE]
        chosen = sum(amount for risks, amount in self.risks.items() if risks & campaign.skip_risks)
        return chosen + (0 if campaign.send_undeliverable else undeliverable)


def summary(session: Session, campaign_id: int, job: Job | None) -> Summary:
    """The last check's own figures while nothing changed since, else counted."""
    if job is None:
        return Summary(dict.fromkeys(Verdict, 0), {})
    found = verification.report(session, job.id)
    since = func.coalesce(Job.finished_at, Job.created_at)
    imported = exists().where(
        Job.campaign_id == campaign_id, Job.kind == JobKind.IMPORT, since > job.created_at
    )
    fresh = job.status is JobStatus.DONE and not (job.result or {}).get("changed")
    if job.status in _RUNNING or (fresh and not session.scalar(select(imported))):
        return Summary(found.counts, found.risks, found.misspelt)
    counted = verification.verdict_counts(session, campaign_id)
    return Summary(
        {verdict: counted.get(verdict, 0) for verdict in Verdict},
        verification.risk_counts(session, campaign_id),
        found.misspelt,
    )


def choose(
    session: Session, campaign_id: int, *, skip_undeliverable: bool, skip_risks: Risk
) -> Campaign:
    """Say whom a campaign leaves out. Raises Refused once it was launched."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in EDITABLE:
        raise Refused("This campaign has been launched: this can no longer change.")
    campaign.send_undeliverable = not skip_undeliverable
    campaign.skip_risks = int(skip_risks)
    session.flush()
    return campaign


def bounce_outlook(
    session: Session, campaign: Campaign, found: Summary, total: int
) -> Outlook | None:
    """How many of the `total` recipients' mails will bounce, those left out aside."""
    sent_to = {
        risks: amount for risks, amount in found.risks.items() if not risks & campaign.skip_risks
    }
    undeliverable = found.verdicts[Verdict.UNDELIVERABLE] if campaign.send_undeliverable else 0
    sendable = Sendable(
        deliverable=found.verdicts[Verdict.DELIVERABLE],
        unchecked=max(0, total - sum(found.verdicts.values())),
        undeliverable=undeliverable,
        risks=sent_to,
    )
    earlier = (
        select(Campaign.id)
        .where(Campaign.id != campaign.id, Campaign.launched_at.is_not(None))
        .order_by(Campaign.id.desc())
        .limit(_CAMPAIGNS_BACK)
    )
    bounced, accepted = session.execute(
        select(
            func.coalesce(func.sum(CampaignCounters.reached_bounced), 0),
            func.coalesce(func.sum(CampaignCounters.reached_accepted), 0),
        ).where(CampaignCounters.campaign_id.in_(earlier))
    ).one()
    return outlook(sendable, int(bounced), int(accepted))

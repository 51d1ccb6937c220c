"""What a person does with a campaign: write, schedule, launch, pause, resume, cancel.

Each deed checks the state it starts from and says in one sentence why it is refused. Sending
itself is `services.sending`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from config import Settings
from domain.addresses import AddressProblem, check_syntax
from domain.rendering import compile_mail
from domain.statuses import CampaignStatus, Fact, RecipientStatus
from domain.text_part import text_from_html
from models import Campaign, CampaignCounters, RateSample, Recipient
from services import audience_query, counters, guard
from services.ledger import read_counters

#: States in which the content and the audience may still change.
EDITABLE = frozenset({CampaignStatus.DRAFT, CampaignStatus.SCHEDULED})
_CAN_PAUSE = frozenset({CampaignStatus.SCHEDULED, CampaignStatus.SENDING})
#: States that a cancel can end.
CAN_CANCEL = frozenset({CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.PAUSED})
#: What a duplicate takes over from its source.
_COPIED = (
    "subject", "html", "text", "text_is_automatic", "from_email", "from_name", "reply_to",
    "tracking", "cap_per_second", "batch_size", "batch_pause_seconds", "window_days",
    "window_start", "window_end", "window_zone", "send_undeliverable", "skip_risks",
)  # fmt: skip
#: The live rate is a mean over this many seconds.
RATE_WINDOW_SECONDS = 10
#: Seconds that one row of `rate_samples` covers.
RATE_SLOT_SECONDS = 5


class Refused(Exception):
    """The deed cannot be done; the message is one sentence that says why and what to do."""


class NotFound(Refused):
    """There is no such campaign."""


class EditConflict(Refused):
    """Somebody else saved the campaign since this person opened it."""


@dataclass(frozen=True)
class CampaignContent:
    """What a person writes; empty sender fields mean the ones from the settings."""

    name: str
    subject: str
    html: str
    text: str = ""
    text_is_automatic: bool = True
    from_email: str = ""
    from_name: str = ""
    reply_to: str = ""


def get_campaign(session: Session, campaign_id: int) -> Campaign:
    """The campaign, read afresh; raises NotFound."""
    campaign = session.get(Campaign, campaign_id, populate_existing=True)
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    return campaign


def lock_campaign(session: Session, campaign_id: int) -> Campaign:
    """The campaign, locked until the transaction ends; raises NotFound."""
    campaign = session.get(
        Campaign, campaign_id, populate_existing=True, with_for_update={"of": Campaign}
    )
    if campaign is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    return campaign


def create_campaign(
    session: Session, content: CampaignContent, settings: Settings, now: datetime, by: str | None
) -> Campaign:
    """A new draft with its counters; raises Refused or domain.rendering.TemplateProblem."""
    campaign = Campaign(created_at=now, created_by=by, updated_at=now, variables=[])
    _write_content(campaign, content, settings)
    session.add(campaign)
    session.flush()
    session.add(CampaignCounters(campaign_id=campaign.id))
    session.flush()
    return campaign


def update_campaign(
    session: Session,
    campaign_id: int,
    content: CampaignContent,
    settings: Settings,
    now: datetime,
    *,
    expected_version: int | None = None,
) -> Campaign:
    """Change a campaign that has not been sent; raises Refused, EditConflict, TemplateProblem."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in EDITABLE:
        raise Refused("This campaign has been launched: its content can no longer change.")
    if expected_version is not None and expected_version != campaign.content_version:
        raise EditConflict(
            "Somebody else saved this campaign while you were writing. Copy your text, "
            "reload the page, and put it in again."
        )
    _write_content(campaign, content, settings)
    campaign.content_version += 1
    campaign.updated_at = now
    session.flush()
    return campaign


def _write_content(campaign: Campaign, content: CampaignContent, settings: Settings) -> None:
    name = content.name.strip()
    if not name:
        raise Refused("The campaign needs a name.")
    if len(name) > 200:
        raise Refused("The name is longer than 200 characters: shorten it.")
    _check_headers(content)
    automatic = content.text_is_automatic or not content.text.strip()
    text = text_from_html(content.html) if automatic else content.text
    compile_mail(content.subject, content.html, text)
    campaign.name = name
    campaign.subject = content.subject.strip()
    campaign.html = content.html
    campaign.text = text
    campaign.text_is_automatic = automatic
    campaign.from_email = content.from_email.strip() or settings.sender_email
    campaign.from_name = content.from_name.strip() or (
        settings.sender_name if not content.from_email.strip() else ""
    )
    campaign.reply_to = content.reply_to.strip() or settings.reply_to


def _check_headers(content: CampaignContent) -> None:
    """What ends in a header is one line and, where it shall be an address, is one."""
    lines = {
        "subject": content.subject,
        "sender's name": content.from_name,
        "sender's address": content.from_email,
        "reply-to address": content.reply_to,
    }
    for what, value in lines.items():
        if re.search(r"[\r\n\0]", value.strip()):
            raise Refused(f"The {what} must be one line.")
        if what.endswith("address") and value.strip():
            found = check_syntax(value.strip())
            if isinstance(found, AddressProblem):
                raise Refused(f"The {what}: {found}")


def duplicate_campaign(
    session: Session, campaign_id: int, now: datetime, by: str | None
) -> Campaign:
    """A new draft with the same content and no recipients."""
    source = get_campaign(session, campaign_id)
    copy = Campaign(
        name=f"{source.name[:190]} (copy)",
        created_at=now,
        created_by=by,
        updated_at=now,
        variables=[],
        **{name: getattr(source, name) for name in _COPIED},
    )
    session.add(copy)
    session.flush()
    session.add(CampaignCounters(campaign_id=copy.id))
    session.flush()
    return copy


def delete_draft(session: Session, campaign_id: int) -> None:
    """Remove a draft with its recipients; what was launched is kept as proof."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status is not CampaignStatus.DRAFT:
        raise Refused("Only a draft can be deleted: what was launched is kept as proof.")
    session.execute(delete(Campaign).where(Campaign.id == campaign_id))


def launch_problems(session: Session, campaign: Campaign, settings: Settings) -> list[str]:
    """Everything that stands against sending this campaign now, a sentence each."""
    problems = settings.launch_problems()
    if not campaign.from_email:
        problems.append("The campaign has no sender: set one, or SENDER_EMAIL in the settings.")
    if not campaign.subject.strip():
        problems.append("The campaign has no subject.")
    if not campaign.html.strip() and not campaign.text.strip():
        problems.append("The campaign has no content.")
    counters = read_counters(session, campaign.id)
    from_lists = audience_query.problems(session, campaign.id)
    if from_lists is not None:
        problems += from_lists
    elif not counters["total"]:
        problems.append("The campaign has no recipients yet: upload a list first.")
    elif not counters["pending"]:
        problems.append("No recipient of this campaign can get mail: all are skipped.")
    return problems


def launch(
    session: Session,
    campaign_id: int,
    settings: Settings,
    now: datetime,
    by: str | None,
    *,
    at: datetime | None = None,
    zone: str | None = None,
) -> Campaign:
    """Start sending, or schedule for `at`; a second call of the same kind is refused."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in EDITABLE:
        raise Refused(f"This campaign is {campaign.status}: it can be launched only once.")
    problems = launch_problems(session, campaign, settings)
    if problems:
        raise Refused(" ".join(problems))
    if at is not None and at <= now:
        raise Refused("That time is over already: choose a later one, or start sending now.")
    campaign.launched_at = now
    campaign.launched_by = by
    campaign.updated_at = now
    campaign.scheduled_at = at
    campaign.scheduled_zone = zone if at else None
    _set_status(campaign, CampaignStatus.SCHEDULED if at else CampaignStatus.SENDING)
    session.flush()
    return campaign


def unschedule(session: Session, campaign_id: int, now: datetime) -> Campaign:
    """Make a scheduled campaign a draft again."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status is not CampaignStatus.SCHEDULED:
        raise Refused(f"This campaign is {campaign.status}: there is no schedule to take back.")
    campaign.scheduled_at = campaign.scheduled_zone = campaign.launched_at = None
    campaign.updated_at = now
    _set_status(campaign, CampaignStatus.DRAFT)
    session.flush()
    return campaign


def pause(
    session: Session,
    campaign_id: int,
    now: datetime,
    *,
    by: str | None,
    reason: str = "",
    reason_code: str = "person",
) -> Campaign:
    """Stop sending until somebody resumes; mails already handed to SES are not touched."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in _CAN_PAUSE:
        raise Refused(f"This campaign is {campaign.status}: there is nothing to pause.")
    _set_status(campaign, CampaignStatus.PAUSED)
    campaign.reason = reason or f"Paused by {by or 'a person'}. Press Resume to go on."
    campaign.reason_code = reason_code
    campaign.paused_by = by
    campaign.updated_at = now
    session.flush()
    return campaign


def resume(session: Session, campaign_id: int, now: datetime) -> Campaign:
    """Go on after a pause; a campaign that was paused before its time waits for it again."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status is not CampaignStatus.PAUSED:
        raise Refused(f"This campaign is {campaign.status}: only a paused one can be resumed.")
    if campaign.reason_code == guard.CODE:
        guard.overrule(session, campaign_id)  # or it would be paused again at once
    still_to_come = campaign.scheduled_at is not None and campaign.scheduled_at > now
    _set_status(campaign, CampaignStatus.SCHEDULED if still_to_come else CampaignStatus.SENDING)
    campaign.updated_at = now
    session.flush()
    return campaign


def cancel(session: Session, campaign_id: int, now: datetime, by: str | None) -> Campaign:
    """End a campaign for good; `cancel_pending` then turns the waiting rows, in steps."""
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in CAN_CANCEL:
        raise Refused(f"This campaign is {campaign.status}: there is nothing to cancel.")
    _set_status(campaign, CampaignStatus.CANCELLED)
    campaign.reason = f"Cancelled by {by or 'a person'}."
    campaign.reason_code = "person"
    campaign.finished_at = now
    campaign.updated_at = now
    session.flush()
    return campaign


def cancel_pending(session: Session, campaign_id: int, now: datetime, limit: int = 1000) -> int:
    """Turn up to `limit` pending rows of a cancelled campaign; how many were turned."""
    some = (
        select(Recipient.id)
        .where(Recipient.campaign_id == campaign_id, Recipient.status == RecipientStatus.PENDING)
        .order_by(Recipient.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    turned = session.connection().execute(
        update(Recipient)
        .where(Recipient.id.in_(some))
        .values(
            status=RecipientStatus.CANCELLED,
            facts=int(Fact.CANCELLED),
            reason_code="cancelled",
            reason="The campaign was cancelled before it was this recipient's turn.",
            reason_at=now,
            updated_at=now,
        )
    )
    count = int(turned.rowcount)
    counters.add(session, {campaign_id: {"pending": -count, "cancelled": count}})
    return count


def _set_status(campaign: Campaign, status: CampaignStatus) -> None:
    campaign.status = status
    campaign.reason = campaign.reason_code = campaign.paused_by = None
    campaign.waiting_until = None


def list_campaigns(
    session: Session,
    limit: int = 200,
    *,
    status: CampaignStatus | None = None,
    before: int | None = None,
) -> list[tuple[Campaign, CampaignCounters]]:
    """Campaigns with their counters, newest first; of one state, and older than `before`."""
    query = select(Campaign, CampaignCounters).join(
        CampaignCounters, CampaignCounters.campaign_id == Campaign.id
    )
    if status is not None:
        query = query.where(Campaign.status == status)
    if before is not None:
        query = query.where(Campaign.id < before)
    rows = session.execute(query.order_by(Campaign.id.desc()).limit(limit))
    return [(campaign, counters) for campaign, counters in rows]


def count_by_status(session: Session) -> dict[CampaignStatus, int]:
    """How many campaigns there are in each state."""
    rows = session.execute(select(Campaign.status, func.count()).group_by(Campaign.status))
    found = {row[0]: row[1] for row in rows}
    return {status: found.get(status, 0) for status in CampaignStatus}


def current_rate(session: Session, campaign_id: int, now: datetime) -> float:
    """Mails a second accepted lately, over RATE_WINDOW_SECONDS of full slots."""
    newest = int(now.timestamp()) // RATE_SLOT_SECONDS
    slots = RATE_WINDOW_SECONDS // RATE_SLOT_SECONDS
    accepted = session.scalar(
        select(func.coalesce(func.sum(RateSample.accepted), 0)).where(
            RateSample.campaign_id == campaign_id,
            RateSample.slot >= newest - slots,
            RateSample.slot < newest,
        )
    )
    return round(float(accepted or 0) / RATE_WINDOW_SECONDS, 2)


def campaign_status(session: Session, campaign_id: int, now: datetime) -> dict[str, Any]:
    """The status document: counters, what the campaign waits for, and the present rate."""
    campaign = get_campaign(session, campaign_id)
    counters = read_counters(session, campaign_id)
    people = ("opened", "clicked", "opened_machine", "clicked_machine", "unsubscribed")
    waiting = campaign.waiting_until
    return {
        "id": campaign.id,
        "status": campaign.status.value,
        "reason": campaign.reason or audience_query.preparing(session, campaign_id),
        "waiting_until": waiting.isoformat().replace("+00:00", "Z") if waiting else None,
        "total": counters["total"],
        "counts": {status.value: counters[status.value] for status in RecipientStatus},
        "reached": {
            name.removeprefix("reached_"): value
            for name, value in counters.items()
            if name.startswith("reached_")
        },
        **{name: counters[name] for name in people},
        "duplicates": counters["duplicates"],
        "rate": current_rate(session, campaign_id, now),
    }

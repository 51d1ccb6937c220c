"""How things are said on screen: words, icons and sentences of every state, numbers and times.

Pure functions; the zone and the present moment are arguments. `web.context` gives them to the
templates with the zone of the person who looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from domain.statuses import (
    CampaignStatus,
    EventStatus,
    JobKind,
    JobStatus,
    RecipientStatus,
    SuppressionReason,
    Verdict,
)


@dataclass(frozen=True)
class Wording:
    """A state for a person: its word, its icon, its colour class and what it means."""

    word: str
    icon: str
    css: str
    sentence: str


RECIPIENT: Mapping[RecipientStatus, Wording] = {
    RecipientStatus.PENDING: Wording("Pending", "clock", "st-pending", "Waits for its turn."),
    RecipientStatus.SENDING: Wording(
        "Sending", "send", "st-sending", "Is being handed to SES right now."
    ),
    RecipientStatus.IN_DOUBT: Wording(
        "In doubt", "question-diamond", "st-in_doubt",
        "Handed to SES, but the answer was lost. Not sent again until an event settles it.",
    ),
    RecipientStatus.SKIPPED: Wording(
        "Skipped", "skip-forward", "st-skipped",
        "Left out on purpose: suppressed, unsubscribed, or cannot receive mail.",
    ),
    RecipientStatus.CANCELLED: Wording(
        "Cancelled", "dash-circle", "st-cancelled",
        "The campaign was cancelled before it was this recipient’s turn.",
    ),
    RecipientStatus.FAILED: Wording(
        "Failed", "x-circle", "st-failed",
        "SES refused it or the mail could not be made for this recipient. You can retry it.",
    ),
    RecipientStatus.SENT: Wording(
        "Sent", "check2", "st-sent", "SES accepted it. We wait for the receiving server."
    ),
    RecipientStatus.DELAYED: Wording(
        "Delayed", "hourglass-split", "st-delayed",
        "The receiving server asked SES to come back later. SES keeps trying for up to 14 hours.",
    ),
    RecipientStatus.DELIVERED: Wording(
        "Delivered", "check2-all", "st-delivered", "The receiving server took it."
    ),
    RecipientStatus.SOFT_BOUNCED: Wording(
        "Soft bounced", "arrow-repeat", "st-soft_bounced",
        "SES gave up after trying for hours. The address may work next time.",
    ),
    RecipientStatus.BOUNCED: Wording(
        "Bounced", "x-octagon", "st-bounced",
        "The address does not exist or refuses all mail. It will get nothing more.",
    ),
    RecipientStatus.REJECTED: Wording(
        "Rejected", "shield-x", "st-rejected",
        "SES itself refused the mail, usually because of a virus.",
    ),
    RecipientStatus.COMPLAINED: Wording(
        "Complained", "hand-thumbs-down", "st-complained",
        "The reader pressed “spam”. This address will get nothing more.",
    ),
}  # fmt: skip

#: The order of segments and legends: what went well first, what still waits last.
BAR_ORDER: tuple[RecipientStatus, ...] = (
    RecipientStatus.DELIVERED,
    RecipientStatus.SENT,
    RecipientStatus.DELAYED,
    RecipientStatus.SOFT_BOUNCED,
    RecipientStatus.BOUNCED,
    RecipientStatus.REJECTED,
    RecipientStatus.COMPLAINED,
    RecipientStatus.SKIPPED,
    RecipientStatus.FAILED,
    RecipientStatus.CANCELLED,
    RecipientStatus.IN_DOUBT,
    RecipientStatus.SENDING,
    RecipientStatus.PENDING,
)

CAMPAIGN: Mapping[CampaignStatus, Wording] = {
    CampaignStatus.DRAFT: Wording(
        "Draft", "pencil", "st-draft", "Nothing is sent until you press Start Sending."
    ),
    CampaignStatus.SCHEDULED: Wording(
        "Scheduled", "calendar-event", "st-scheduled", "Starts by itself at its time."
    ),
    CampaignStatus.SENDING: Wording("Sending", "send", "st-sending", "Mails are going out."),
    CampaignStatus.PAUSED: Wording(
        "Paused", "pause-fill", "is-warn", "Nothing is sent until it is resumed."
    ),
    CampaignStatus.SENT: Wording(
        "Sent", "check2-all", "st-delivered", "Every recipient had their turn."
    ),
    CampaignStatus.CANCELLED: Wording(
        "Cancelled", "dash-circle", "st-cancelled", "Stopped for good before it was finished."
    ),
}

VERDICT: Mapping[Verdict, Wording] = {
    Verdict.DELIVERABLE: Wording(
        "Deliverable", "check-circle-fill", "is-ok", "The domain takes mail and nothing is known "
        "against the address.",
    ),
    Verdict.RISKY: Wording(
        "Risky", "exclamation-triangle-fill", "is-warn",
        "It may arrive: a shared or throw-away mailbox, or one that bounced before.",
    ),
    Verdict.UNDELIVERABLE: Wording(
        "Undeliverable", "x-circle-fill", "is-fail",
        "It cannot arrive: the address is malformed or its domain takes no mail.",
    ),
    Verdict.UNKNOWN: Wording(
        "Unknown", "question-circle", "st-pending",
        "The domain could not be asked. Nothing is held against the address.",
    ),
}  # fmt: skip

SUPPRESSION: Mapping[SuppressionReason, Wording] = {
    SuppressionReason.BOUNCED: Wording(
        "Bounced", "x-octagon", "st-bounced", "The address does not exist or refuses all mail."
    ),
    SuppressionReason.COMPLAINED: Wording(
        "Complained", "hand-thumbs-down", "st-complained", "The reader pressed “spam”."
    ),
    SuppressionReason.UNSUBSCRIBED: Wording(
        "Unsubscribed", "person-dash", "st-skipped", "The reader asked for no more mail."
    ),
    SuppressionReason.SOFT_BOUNCES: Wording(
        "Soft bounces", "arrow-repeat", "st-soft_bounced",
        "Mails to it came back several campaigns in a row.",
    ),
    SuppressionReason.ACCOUNT_LIST: Wording(
        "SES’s list", "cloud-slash", "st-rejected", "SES’s own suppression list holds the address."
    ),
    SuppressionReason.MANUAL: Wording(
        "Added by hand", "person-x", "st-cancelled", "A person put the address on the list."
    ),
    SuppressionReason.IMPORTED: Wording(
        "Imported", "file-earmark-text", "st-cancelled", "The address came with an imported list."
    ),
}  # fmt: skip

JOB: Mapping[JobStatus, Wording] = {
    JobStatus.QUEUED: Wording("Waiting", "clock", "st-pending", "Waits for a scheduler."),
    JobStatus.RUNNING: Wording("Running", "arrow-repeat", "st-sending", "Is being done now."),
    JobStatus.DONE: Wording("Done", "check-circle-fill", "is-ok", "It is finished."),
    JobStatus.FAILED: Wording("Failed", "x-circle-fill", "is-fail", "It could not be done."),
    JobStatus.STOPPED: Wording("Stopped", "stop-fill", "is-warn", "A person stopped it."),
}

JOB_KIND: Mapping[JobKind, str] = {
    JobKind.IMPORT: "Importing recipients",
    JobKind.VERIFY: "Checking addresses",
    JobKind.TEST_MAIL: "Sending a test mail",
}

EVENT: Mapping[EventStatus, Wording] = {
    EventStatus.NEW: Wording("New", "clock", "st-pending", "Stored, not applied yet."),
    EventStatus.APPLIED: Wording("Applied", "check2", "is-ok", "It changed or confirmed a state."),
    EventStatus.PARKED: Wording(
        "Parked", "hourglass-split", "is-warn", "Its recipient is not known yet; it is tried again."
    ),
    EventStatus.EXPIRED: Wording(
        "Expired", "dash-circle", "st-cancelled", "Its recipient never became known."
    ),
    EventStatus.IGNORED: Wording("Ignored", "dash", "st-pending", "Known, and without effect."),
    EventStatus.DEAD: Wording(
        "Error", "x-circle-fill", "is-fail", "Applying it failed. It can be tried again."
    ),
}

#: SES's event types (`Event.kind`) as a timeline or a log shows them.
EVENT_KIND: Mapping[str, Wording] = {
    "Send": Wording("Sent", "check2", "st-sent", "SES accepted the mail."),
    "Delivery": Wording("Delivered", "check2-all", "st-delivered", "The receiving server took it."),
    "DeliveryDelay": Wording(
        "Delayed", "hourglass-split", "st-delayed", "The receiving server asked to wait."
    ),
    "Bounce": Wording("Bounced", "x-octagon", "st-bounced", "The mail came back."),
    "Complaint": Wording(
        "Complained", "hand-thumbs-down", "st-complained", "The reader pressed “spam”."
    ),
    "Reject": Wording("Rejected", "shield-x", "st-rejected", "SES itself refused the mail."),
    "Rendering Failure": Wording(
        "Could not be made", "x-circle", "st-failed", "SES could not make the mail."
    ),
    "Open": Wording("Opened", "envelope-open", "st-accent", "The mail was opened."),
    "Click": Wording("Clicked", "cursor", "st-in_doubt", "A link was followed."),
    "Subscription": Wording(
        "Preferences", "person-dash", "st-skipped", "The reader changed what they get."
    ),
}

#: Moments of a recipient that no SES event tells (services.recipient_timeline).
_OUR_MOMENTS: Mapping[str, Wording] = {
    "imported": Wording("Imported", "file-earmark-text", "st-faint", ""),
    "submitted": Wording("Handed to SES", "send", "st-sending", ""),
    "replaced": Wording("Attempt ended", "arrow-clockwise", "st-faint", ""),
    "unsubscribed": Wording("Unsubscribed", "person-dash", "st-skipped", ""),
    "suppressed": Wording("On the suppression list", "person-x", "st-cancelled", ""),
}


def moment_wording(kind: str, sub_kind: str | None) -> Wording:
    """How a moment of a recipient's timeline is said; an unknown event type keeps its name."""
    if kind == "verified" and sub_kind:
        said = VERDICT[Verdict(sub_kind)]
        return Wording(f"Checked: {said.word.lower()}", "shield-check", said.css, said.sentence)
    if kind == "settled" and sub_kind:
        return RECIPIENT[RecipientStatus(sub_kind)]
    if kind == "Bounce" and not (sub_kind or "").startswith("Permanent"):
        return RECIPIENT[RecipientStatus.SOFT_BOUNCED]
    machine = kind in ("Open", "Click") and (sub_kind or "").startswith("machine")
    if machine:
        word = "Opened by a machine" if kind == "Open" else "Clicked by a machine"
        return Wording(word, "robot", "st-faint", "A filter or a proxy, not a person.")
    known = _OUR_MOMENTS.get(kind) or EVENT_KIND.get(kind)
    return known or Wording(kind, "broadcast-pin", "st-faint", "An event type that is new to us.")


_WORDS: Mapping[type[StrEnum], Mapping[StrEnum, Wording]] = {
    RecipientStatus: RECIPIENT,  # type: ignore[dict-item]
    CampaignStatus: CAMPAIGN,  # type: ignore[dict-item]
    Verdict: VERDICT,  # type: ignore[dict-item]
    SuppressionReason: SUPPRESSION,  # type: ignore[dict-item]
    JobStatus: JOB,  # type: ignore[dict-item]
    EventStatus: EVENT,  # type: ignore[dict-item]
}


def wording(state: StrEnum) -> Wording:
    """How a state is said; KeyError for an enum that has no words."""
    return _WORDS[type(state)][state]


def number(value: float | None) -> str:
    """1234567 as 1,234,567; fractions are rounded away; nothing as a dash."""
    return "–" if value is None else f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share as 97.8%, with two digits below 2 %, and never 100 % or 0 % by rounding alone."""
    if not whole:
        return "–"
    share = 100 * part / whole
    text = f"{share:.2f}" if share < 2 else f"{share:.1f}"
    if part and float(text) == 0:
        return "<0.01%"
    if part < whole and float(text) >= 100:
        return "99.9%"
    return f"{float(text):g}%" if float(text) in (0, 100) else f"{text}%"


def rate(per_second: float) -> str:
    """Mails a second as 39.6 /s, and 0.05 /s when it is that slow."""
    if per_second >= 100:
        return f"{per_second:,.0f} /s"
    return f"{per_second:.1f} /s" if per_second >= 1 or not per_second else f"{per_second:.2g} /s"


def per_second(limit: float) -> str:
    """A limit that somebody set, as it was written: 40 /s, 0.5 /s."""
    return f"{limit:,g} /s" if limit < 1_000_000 else f"{limit:,.0f} /s"


def count(value: int, singular: str, plural: str | None = None) -> str:
    """The number with its noun: 1 recipient, 3 recipients."""
    return f"{number(value)} {singular if value == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """A span in at most two units: 45 s, 7 min, 2 h 5 min, 3 days."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours + (minutes >= 30), 24)
    return f"{count(days, 'day')} {hours} h" if hours and days < 4 else count(days, "day")


def ago(moment: datetime, now: datetime) -> str:
    """How long something is over: "2 s ago"."""
    return f"{duration((now - moment).total_seconds())} ago"


def clock(moment: datetime, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """The time of day in a zone: 10:53, or 10:53:07."""
    return moment.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def day(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """today, yesterday, tomorrow, or Wed 15 Oct, with the year if it is another one."""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    distance = (local.date() - today.date()).days
    if distance in (-1, 0, 1):
        return ("yesterday", "today", "tomorrow")[distance + 1]
    text = f"{local:%a} {local.day} {local:%b}"
    return text if local.year == today.year else f"{text} {local.year}"


def moment(value: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Day and time: "10:53" when it is today, else "Wed 15 Oct, 10:53"."""
    named = day(value, zone, now)
    return clock(value, zone) if named == "today" else f"{named}, {clock(value, zone)}"


def log_time(value: datetime, zone: ZoneInfo, now: datetime) -> str:
    """A time in a log: with seconds when it is today, with its day otherwise."""
    named = day(value, zone, now)
    return clock(value, zone, seconds=True) if named == "today" else f"{named} {clock(value, zone)}"


def long_day(value: datetime, zone: ZoneInfo) -> str:
    """A whole date: Tuesday, 14 October 2025, 10:46."""
    local = value.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B} {local.year}, {local:%H:%M}"


def exact(value: datetime, zone: ZoneInfo) -> str:
    """A time for proofs, with milliseconds: 10:45:27.104."""
    local = value.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def zone_or_utc(name: str | None) -> ZoneInfo:
    """The named zone, or UTC for a name that is missing or unknown."""
    try:
        return ZoneInfo(name) if name else ZoneInfo("UTC")
    except (KeyError, ValueError, OSError):  # unknown, malformed, or the name of a folder
        return ZoneInfo("UTC")

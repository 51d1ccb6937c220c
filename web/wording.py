"""The words, icons, colours and sentences of every state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.refusal_kinds import RefusalKind, kind_of
from domain.statuses import (
    CampaignStatus,
    EventStatus,
    JobKind,
    JobStatus,
    MailOutcome,
    MemberStatus,
    RecipientStatus,
    Risk,
    SuppressionReason,
    Verdict,
    is_final,
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

RISK: Mapping[Risk, Wording] = {
    Risk.TYPO: Wording(
        "Probably misspelt", "spellcheck", "is-warn", "The domain is one letter off a known one."
    ),
    Risk.DISPOSABLE: Wording(
        "Throw-away", "trash3", "is-warn", "A mailbox made to be used once."
    ),
    Risk.ROLE: Wording(
        "Shared mailbox", "people", "is-warn",
        "info@, sales@ and the like: nobody in particular signed up.",
    ),
    Risk.COMPLAINED: Wording(
        "Complained before", "hand-thumbs-down", "is-warn",
        "Suppressed ones get nothing, whatever is chosen here.",
    ),
    Risk.UNSUBSCRIBED: Wording(
        "Unsubscribed before", "person-dash", "is-warn",
        "Suppressed ones get nothing, whatever is chosen here.",
    ),
    Risk.SOFT_BOUNCED: Wording(
        "Bounced lately", "arrow-repeat", "is-warn",
        "The last mail came back for a passing reason, such as a full mailbox.",
    ),
    Risk.SES_DOUBTS: Wording(
        "Doubted by Amazon SES", "question-diamond", "is-warn",
        "SES was asked and is not confident that a mail arrives.",
    ),
    Risk.UNKNOWN: Wording(
        "Unknown", "question-circle", "st-pending",
        "Nothing could be found out, nor is anything held against them.",
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

MEMBER: Mapping[MemberStatus, Wording] = {
    MemberStatus.SUBSCRIBED: Wording(
        "Subscribed", "person-check", "st-delivered", "Gets what is sent to the list."
    ),
    MemberStatus.UNSUBSCRIBED: Wording(
        "Unsubscribed", "person-dash", "st-skipped", "Asked for no more mail of this list."
    ),
}

#: Which of another campaign's recipients.
OUTCOME: Mapping[MailOutcome, str] = {
    MailOutcome.EVERYBODY: "Everybody",
    MailOutcome.NOT_OPENED: "Delivered, but not opened",
    MailOutcome.OPENED: "Opened",
    MailOutcome.CLICKED: "Clicked",
    MailOutcome.SOFT_BOUNCED: "Soft bounced",
}

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
    JobKind.DRY_RUN: "Trying an import",
    JobKind.SUPPRESS: "Reading into the suppression list",
    JobKind.ACCOUNT_LIST: "Comparing with SES’s list",
}

REFUSAL: Mapping[RefusalKind, str] = {
    RefusalKind.EMPTY: "Empty",
    RefusalKind.NO_AT: "No @",
    RefusalKind.SEVERAL: "Several in one cell",
    RefusalKind.TWO_AT: "Two @",
    RefusalKind.AROUND: "Something around it",
    RefusalKind.SPACE: "A space inside",
    RefusalKind.DOTS: "Two dots",
    RefusalKind.LETTERS: "Letters SES cannot take",
    RefusalKind.DOMAIN: "Domain not possible",
    RefusalKind.BROKEN_ROW: "Row is broken",
    RefusalKind.OTHER: "Not an address",
}
_ADVICE: Mapping[RefusalKind, str] = {
    RefusalKind.EMPTY: "Fill it in, or leave the row out.",
    RefusalKind.SEVERAL: "Put each on a row of its own.",
    RefusalKind.LETTERS: "Ask for another address.",
    RefusalKind.BROKEN_ROW: "Put the row right where the file comes from.",
}


def refusal_advice(reason: str) -> str:
    """What to do about a refused row for which no mend is plain."""
    return _ADVICE.get(kind_of(reason), "Write the address as it should be.")


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
    "corrected": Wording("Corrected", "pencil", "st-faint", ""),
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
        word = "Machine open" if kind == "Open" else "Machine click"
        return Wording(word, "robot", "st-faint", "A filter or a proxy, not a person.")
    if kind == "Complaint" and sub_kind in ("not-spam", "auth-failure"):
        return Wording("Report", "megaphone", "st-faint", "A report that is no complaint.")
    known = _OUR_MOMENTS.get(kind) or EVENT_KIND.get(kind)
    return known or Wording(kind, "broadcast-pin", "st-faint", "An event type that is new to us.")


_WORDS: Mapping[type[StrEnum], Mapping[StrEnum, Wording]] = {
    RecipientStatus: RECIPIENT,  # type: ignore[dict-item]
    CampaignStatus: CAMPAIGN,  # type: ignore[dict-item]
    Verdict: VERDICT,  # type: ignore[dict-item]
    SuppressionReason: SUPPRESSION,  # type: ignore[dict-item]
    JobStatus: JOB,  # type: ignore[dict-item]
    MemberStatus: MEMBER,  # type: ignore[dict-item]
    EventStatus: EVENT,  # type: ignore[dict-item]
}


def row_sentence(
    status: RecipientStatus, *, delivery_published: bool, seconds_since_sent: float
) -> str:
    """What a row's state means; a mail of which nothing more is heard says so."""
    if status is RecipientStatus.SENT and not delivery_published:
        return "SES accepted it. Delivery is not tracked in this campaign."
    final = is_final(
        status, delivery_published=delivery_published, seconds_since_sent=seconds_since_sent
    )
    if final and status in (RecipientStatus.SENT, RecipientStatus.DELAYED):
        return "SES accepted it; no delivery report came."
    return RECIPIENT[status].sentence


def wording(state: StrEnum) -> Wording:
    """How a state is said; KeyError for an enum that has no words."""
    return _WORDS[type(state)][state]

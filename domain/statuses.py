"""The states of a recipient and of a campaign, and the one rule that derives a state from facts.

Facts are what is known about one attempt, as a bit set. `state_of` is pure and total, so that
any order and any repetition of the same facts ends in the same state. Nothing else in the
product decides which state wins.
"""

from __future__ import annotations

from enum import IntFlag, StrEnum
from functools import cache


class RecipientStatus(StrEnum):
    """Where one recipient of one campaign stands. Declared by rank, lowest first."""

    PENDING = "pending"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"
    SENT = "sent"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    SOFT_BOUNCED = "soft_bounced"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    COMPLAINED = "complained"


class CampaignStatus(StrEnum):
    """What a campaign as a whole is doing."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    CANCELLED = "cancelled"


class Fact(IntFlag):
    """What is known about the present attempt of a recipient; stored as one integer."""

    CLAIMED = 1  # a worker holds the row under a lease
    DOUBTED = 2  # it was submitted and the outcome was lost
    SKIPPED = 4  # left out on purpose before the call
    CANCELLED = 8  # the campaign was cancelled before its turn
    REFUSED = 16  # SES refused it, or we could not make the mail
    ACCEPTED = 32  # SES answered with a MessageId, or a Send event arrived
    DELAYED = 64  # DeliveryDelay
    RENDERING_FAILED = 128  # Rendering Failure
    DELIVERED = 256  # Delivery
    SOFT_BOUNCED = 512  # Bounce, Transient, with a cause that a Delivery cannot explain away
    MAYBE_AUTO_REPLY = 1024  # Bounce, Transient/General or Undetermined: see `state_of`
    BOUNCED = 2048  # Bounce, Permanent
    REJECTED = 4096  # Reject
    COMPLAINED = 8192  # Complaint
    PREVENTED = 16384  # Bounce or Complaint that only repeats a suppression list: no new bounce


#: Facts that only SES can have told us. One of them outranks skipped, cancelled and refused.
EVENT_FACTS = (
    Fact.ACCEPTED
    | Fact.DELAYED
    | Fact.RENDERING_FAILED
    | Fact.DELIVERED
    | Fact.SOFT_BOUNCED
    | Fact.MAYBE_AUTO_REPLY
    | Fact.BOUNCED
    | Fact.REJECTED
    | Fact.COMPLAINED
    | Fact.PREVENTED
)

#: Highest rank first. The first fact that is present names the state.
_RANKING: tuple[tuple[Fact, RecipientStatus], ...] = (
    (Fact.COMPLAINED, RecipientStatus.COMPLAINED),
    (Fact.REJECTED, RecipientStatus.REJECTED),
    (Fact.BOUNCED, RecipientStatus.BOUNCED),
    (Fact.PREVENTED, RecipientStatus.BOUNCED),
    (Fact.SOFT_BOUNCED, RecipientStatus.SOFT_BOUNCED),
    (Fact.DELIVERED, RecipientStatus.DELIVERED),
    (Fact.MAYBE_AUTO_REPLY, RecipientStatus.SOFT_BOUNCED),
    (Fact.RENDERING_FAILED, RecipientStatus.FAILED),
    (Fact.DELAYED, RecipientStatus.DELAYED),
    (Fact.ACCEPTED, RecipientStatus.SENT),
    (Fact.REFUSED, RecipientStatus.FAILED),
    (Fact.SKIPPED, RecipientStatus.SKIPPED),
    (Fact.CANCELLED, RecipientStatus.CANCELLED),
    (Fact.DOUBTED, RecipientStatus.IN_DOUBT),
    (Fact.CLAIMED, RecipientStatus.SENDING),
)

#: Facts by rank, highest first: which of them rules a row, and so gives the reason shown.
FACTS_BY_RANK: tuple[Fact, ...] = tuple(fact for fact, _ in _RANKING)


@cache
def state_of(facts: int) -> RecipientStatus:
    """The state that a set of facts about one attempt amounts to.

    A Transient/General or Undetermined bounce beside a Delivery is an automatic reply (AWS
    reports out-of-office mails so) and changes nothing: with a Delivery, in either order, the
    row is delivered; without one it is soft bounced.
    """
    for fact, status in _RANKING:
        if facts & fact:
            return status
    return RecipientStatus.PENDING


@cache
def is_accepted(facts: int) -> bool:
    """Whether SES is known to have taken this attempt (any fact that only SES can tell)."""
    return bool(facts & EVENT_FACTS)


@cache
def has_soft_bounce(facts: int) -> bool:
    """Whether a soft bounce counts for this attempt (an automatic reply does not)."""
    if facts & Fact.SOFT_BOUNCED:
        return True
    return bool(facts & Fact.MAYBE_AUTO_REPLY) and not facts & Fact.DELIVERED


#: Rows that still need a worker or an answer; a campaign is not `sent` while one is left.
OPEN_STATUSES = frozenset(
    {RecipientStatus.PENDING, RecipientStatus.SENDING, RecipientStatus.IN_DOUBT}
)

#: Final at once. `sent` and `delayed` become final by time, see `is_final`.
FINAL_STATUSES = frozenset(
    {
        RecipientStatus.DELIVERED,
        RecipientStatus.SOFT_BOUNCED,
        RecipientStatus.BOUNCED,
        RecipientStatus.REJECTED,
        RecipientStatus.COMPLAINED,
        RecipientStatus.FAILED,
        RecipientStatus.SKIPPED,
        RecipientStatus.CANCELLED,
    }
)

#: How long to wait for a delivery report before `sent` and `delayed` count as final, in seconds.
REPORT_WAIT_SECONDS = 24 * 3600


def is_final(
    status: RecipientStatus, *, delivery_published: bool, seconds_since_sent: float
) -> bool:
    """Whether nothing more is expected for a row (a later event may still raise it)."""
    if status in FINAL_STATUSES:
        return True
    if status in (RecipientStatus.SENT, RecipientStatus.DELAYED):
        return not delivery_published or seconds_since_sent >= REPORT_WAIT_SECONDS
    return False


class SuppressionReason(StrEnum):
    """Why an address gets nothing any more."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SOFT_BOUNCES = "soft_bounces"
    ACCOUNT_LIST = "account_list"  # SES's own account suppression list said so
    MANUAL = "manual"
    IMPORTED = "imported"


class Verdict(StrEnum):
    """What verification says about an address."""

    DELIVERABLE = "deliverable"
    RISKY = "risky"
    UNDELIVERABLE = "undeliverable"
    UNKNOWN = "unknown"


class Risk(IntFlag):
    """Why an address is risky or unknown; stored as one integer, so that the claim can compare.

    None of them is set for deliverable and undeliverable addresses.
    """

    TYPO = 1  # the domain is probably misspelt
    DISPOSABLE = 2  # a throw-away mailbox
    ROLE = 4  # a shared mailbox
    COMPLAINED = 8
    UNSUBSCRIBED = 16
    SOFT_BOUNCED = 32
    SES_DOUBTS = 64  # SES was asked and is not confident
    UNKNOWN = 128  # nothing could be found out


class JobStatus(StrEnum):
    """State of a piece of background work."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class JobKind(StrEnum):
    """What a piece of background work does."""

    IMPORT = "import"
    VERIFY = "verify"
    TEST_MAIL = "test_mail"
    DRY_RUN = "dry_run"  # reads and judges a file as an import would, and stores nothing of it
    SUPPRESS = "suppress"  # reads a file into the suppression list, or tries to
    ACCOUNT_LIST = "account_list"  # compares with the SES account's list, or brings in line


class MemberStatus(StrEnum):
    """Whether a contact of a list gets what is sent to the list."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"  # by their own word; an import never brings them back


class SignupMail(StrEnum):
    """What became of the mail that asks a person to confirm a sign-up; the higher, the later."""

    QUEUED = "queued"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"  # the answer was lost: never sent again by itself
    WITHHELD = "withheld"  # the address bounced, complained or was suppressed by hand
    SENT = "sent"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    OPENED = "opened"
    CLICKED = "clicked"
    FAILED = "failed"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    COMPLAINED = "complained"


class AudienceKind(StrEnum):
    """What a campaign takes recipients from, beside files of its own."""

    LIST = "list"
    SEGMENT = "segment"
    OUTCOME = "outcome"  # another campaign's recipients, by what became of them


class MailOutcome(StrEnum):
    """What became of another campaign's mail, as a choice of its recipients."""

    EVERYBODY = "everybody"
    NOT_OPENED = "not_opened"  # delivered, and no person opened it
    OPENED = "opened"
    CLICKED = "clicked"
    SOFT_BOUNCED = "soft_bounced"


class EventStatus(StrEnum):
    """What became of a stored event."""

    NEW = "new"  # stored, not applied yet
    APPLIED = "applied"
    PARKED = "parked"  # no row yet: matched again when a send is recorded
    EXPIRED = "expired"  # parked until its time was over
    IGNORED = "ignored"  # known and without effect (unknown type, foreign mail, test mail)
    DEAD = "dead"  # applying it raised an error; a person can try again

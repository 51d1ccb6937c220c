"""What a bounce means by its type and sub-type: how final it is, and whether it counts against the
address. Source: SES developer guide, table of bounce types.
"""

from __future__ import annotations

from typing import Any

from domain.statuses import Fact, SuppressionReason

#: Sub-types that say that SES did not even try; no new bounce.
PREVENTED_SUB_TYPES = frozenset(
    {
        "OnAccountSuppressionList",
        "OnTenantSuppressionList",
        "EmailValidationSuppressed",
        "UnsubscribedRecipient",
    }
)

#: Soft bounces that speak about the mailbox, and so count towards giving up on it.
_ABOUT_THE_MAILBOX = frozenset({"Transient/General", "Undetermined/Undetermined"})
_ABOUT_THE_MAILBOX_TOO = frozenset({"MailboxFull", "CustomTimeoutExceeded"})


def bounce_effect(kind: str, sub: str) -> dict[str, Any]:
    """The fact and the consequences of a bounce, by its sub-type first: some lack a known type."""
    if sub in PREVENTED_SUB_TYPES:
        unsubscribed = sub == "UnsubscribedRecipient"
        why = SuppressionReason.UNSUBSCRIBED if unsubscribed else SuppressionReason.ACCOUNT_LIST
        return {"fact": Fact.PREVENTED, "suppress": why}
    if kind == "Permanent" and sub != "CustomTimeoutExceeded":
        return {"fact": Fact.BOUNCED, "suppress": SuppressionReason.BOUNCED}
    may_be_reply = kind == "Undetermined" or (kind == "Transient" and sub == "General")
    return {"fact": Fact.MAYBE_AUTO_REPLY if may_be_reply else Fact.SOFT_BOUNCED}


def counts_towards_giving_up(code: str | None) -> bool:
    """Whether a soft bounce ("Transient/MailboxFull") speaks about the mailbox, not the mail.

    Size, content and attachment say nothing about the person; they never count.
    """
    return code in _ABOUT_THE_MAILBOX or (code or "").partition("/")[2] in _ABOUT_THE_MAILBOX_TOO

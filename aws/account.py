"""What SES says about the account and about a sender's identity; unreadable is a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import why_not

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """GetAccount. Quotas count recipients; `max_24_hour_send` of -1 means unlimited.

    `error` says why nothing could be read; then all the rest is None.
    """

    max_send_rate: float | None = None  # mails a second
    max_24_hour_send: float | None = None
    sent_last_24_hours: float | None = None
    sending_enabled: bool | None = None
    production_access: bool | None = None  # False: sandbox
    enforcement_status: str | None = None  # HEALTHY, PROBATION, SHUTDOWN
    suppressed_reasons: tuple[str, ...] = ()  # BOUNCE, COMPLAINT
    plan: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """GetEmailIdentity for a sender: its own address, or else its domain."""

    identity: str
    exists: bool | None = None
    verified: bool | None = None  # may send
    dkim: str | None = None  # SUCCESS, PENDING, FAILED, TEMPORARY_FAILURE, NOT_STARTED
    mail_from: str | None = None
    mail_from_status: str | None = None
    error: str | None = None


def read_account(ses: SESV2Client) -> AccountFacts:
    """Ask SES for the account; AWS allows one such call a second."""
    try:
        answer: dict[str, Any] = dict(ses.get_account())
    except (ClientError, BotoCoreError) as error:
        return AccountFacts(error=why_not(error))
    quota = answer.get("SendQuota") or {}
    suppression = answer.get("SuppressionAttributes") or {}
    return AccountFacts(
        max_send_rate=quota.get("MaxSendRate"),
        max_24_hour_send=quota.get("Max24HourSend"),
        sent_last_24_hours=quota.get("SentLast24Hours"),
        sending_enabled=answer.get("SendingEnabled"),
        production_access=answer.get("ProductionAccessEnabled"),
        enforcement_status=answer.get("EnforcementStatus"),
        suppressed_reasons=tuple(suppression.get("SuppressedReasons") or ()),
        plan=(answer.get("PricingAttributes") or {}).get("CurrentPlan"),
    )


def read_identity(ses: SESV2Client, sender: str) -> IdentityFacts:
    """The identity that a sender address sends under: the address itself or its domain.

    SES lets a verified domain send for every address in it; an address that is verified on
    its own wins (Developer Guide, "Verified identities").
    """
    domain = sender.rpartition("@")[2]
    own = _identity(ses, sender)
    if own.exists and own.verified:
        return own
    whole = _identity(ses, domain)
    return whole if whole.exists or not own.exists else own


def _identity(ses: SESV2Client, name: str) -> IdentityFacts:
    try:
        answer: dict[str, Any] = dict(ses.get_email_identity(EmailIdentity=name))
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NotFoundException":
            return IdentityFacts(name, exists=False)
        return IdentityFacts(name, error=why_not(error))
    except BotoCoreError as error:
        return IdentityFacts(name, error=why_not(error))
    mail_from = answer.get("MailFromAttributes") or {}
    return IdentityFacts(
        name,
        exists=True,
        verified=answer.get("VerifiedForSendingStatus"),
        dkim=(answer.get("DkimAttributes") or {}).get("Status"),
        mail_from=mail_from.get("MailFromDomain") or None,
        mail_from_status=mail_from.get("MailFromDomainStatus"),
    )

"""What an answer to a send call means: which of nine outcomes, a reason code, a sentence.

The table is DESIGN "What an answer means" over the errors of the SESv2 API (botocore's service
model of `SendEmail` and `SendBulkEmail`, and AWS's common errors). One rule stands above it:
once the first byte was written, only a readable answer of AWS that is no 5xx says that a mail
was not taken; everything else is unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What a send call amounts to, and with it what happens to the row."""

    ACCEPTED = "accepted"  # row: sent
    NOT_SUBMITTED = "not_submitted"  # row: pending; SES never saw it
    THROTTLED = "throttled"  # row: pending; slow down
    QUOTA = "quota"  # row: pending; wait for the 24-hour quota
    REFUSED = "refused"  # row: failed, with SES's words
    RECIPIENT_NOT_VERIFIED = "recipient_not_verified"  # row: failed; the account is in the sandbox
    STOP_CAMPAIGN = "stop_campaign"  # row: pending; this campaign cannot send as it is
    STOP_ACCOUNT = "stop_account"  # row: pending; no campaign can send
    UNKNOWN = "unknown"  # row: in_doubt; never sent again by a guess


#: The outcomes after which SES is known not to have the mail and the row may be sent later.
GIVE_BACK = frozenset(
    {
        Outcome.NOT_SUBMITTED,
        Outcome.THROTTLED,
        Outcome.QUOTA,
        Outcome.STOP_CAMPAIGN,
        Outcome.STOP_ACCOUNT,
    }
)


@dataclass(frozen=True, slots=True)
class SendResult:
    """One mail's outcome. `code` is stable and for machines, `reason` a sentence for a person."""

    outcome: Outcome
    message_id: str | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer to a call: status, AWS's error type and message, the JSON body.

    `error_type` is empty unless the answer can be read as one of AWS; `body` is None unless
    it is a JSON object.
    """

    status: int
    error_type: str = ""
    message: str = ""
    body: dict[str, Any] | None = None


class NotSubmitted(Exception):
    """The call ended before its first byte was written: SES never saw it."""

    def __init__(self, code: str, sentence: str, outcome: Outcome = Outcome.NOT_SUBMITTED) -> None:
        super().__init__(sentence)
        self.result = SendResult(outcome, code=code, reason=sentence)


class OutcomeUnknown(Exception):
    """The call broke off after its first byte may have been written."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.result = SendResult(Outcome.UNKNOWN, code=code, reason=sentence)


_O = Outcome
_CREDENTIALS = (
    _O.STOP_CAMPAIGN,
    "credentials",
    (
        "AWS does not accept the credentials. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
        "AWS_REGION (or the role of this machine), then resume."
    ),
)
_RATE = (_O.THROTTLED, "throttled", "SES asked to slow down; the mail is sent a little later.")
_REFUSED = "SES refused this mail."
#: AWS's error type -> outcome, code, sentence. SES's own words are added behind the sentence.
_BY_TYPE: dict[str, tuple[Outcome, str, str]] = {
    **dict.fromkeys(
        (
            "TooManyRequestsException",
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestLimitExceeded",
            "PriorRequestNotComplete",
            "SlowDown",
        ),
        _RATE,
    ),
    **dict.fromkeys(
        (
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidClientTokenIdException",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "AuthFailure",
            "OptInRequired",
        ),
        _CREDENTIALS,
    ),
    **dict.fromkeys(
        ("RequestExpired", "RequestTimeTooSkewed"),
        (
            _O.STOP_CAMPAIGN,
            "clock_skew",
            (
                "AWS refused the request for its time: the clock of this machine is wrong. Set it "
                "(NTP), then resume."
            ),
        ),
    ),
    **dict.fromkeys(
        ("AccessDeniedException", "AccessDenied", "NotAuthorized", "UnauthorizedOperation"),
        (
            _O.STOP_CAMPAIGN,
            "access_denied",
            (
                "The AWS user or role may not send this mail. Allow ses:SendEmail (and "
                "ses:SendBulkEmail) for this sender in IAM, then resume."
            ),
        ),
    ),
    "AccountSuspendedException": (
        _O.STOP_ACCOUNT,
        "account_suspended",
        "AWS has suspended sending for this account. Open the SES console and talk to AWS Support.",
    ),
    "SendingPausedException": (
        _O.STOP_ACCOUNT,
        "sending_paused",
        "Sending is paused for this SES account. See the reputation page of the SES console.",
    ),
    "MailFromDomainNotVerifiedException": (
        _O.STOP_CAMPAIGN,
        "mail_from_not_verified",
        (
            "The custom MAIL FROM domain of the sender is not verified: its MX record cannot be "
            "read. Mend it in the SES console, then resume."
        ),
    ),
    "LimitExceededException": (
        _O.QUOTA,
        "limit_exceeded",
        "SES says that a limit of the account is used up; sending goes on later.",
    ),
    "NotFoundException": (
        _O.STOP_CAMPAIGN,
        "not_found",
        (
            "SES does not find something that this campaign names (configuration set, template or "
            "tenant). Check SES_CONFIGURATION_SET and AWS_REGION, then resume."
        ),
    ),
    "ConfigurationSetDoesNotExistException": (
        _O.STOP_CAMPAIGN,
        "configuration_set_missing",
        (
            "The configuration set does not exist in this region. Check SES_CONFIGURATION_SET, "
            "then resume."
        ),
    ),
    "UnknownOperationException": (
        _O.STOP_CAMPAIGN,
        "wrong_endpoint",
        "What answers is not the SES API. Check AWS_ENDPOINT_URL and AWS_REGION, then resume.",
    ),
    "MessageRejected": (_O.REFUSED, "message_rejected", _REFUSED),
    "BadRequestException": (_O.REFUSED, "bad_request", "SES did not accept this mail as it is."),
}

#: Status of one entry of SendBulkEmail (wire values) -> the error type that means the same.
_BULK_STATUS = {
    "MESSAGE_REJECTED": "MessageRejected",
    "MAIL_FROM_DOMAIN_NOT_VERIFIED": "MailFromDomainNotVerifiedException",
    "CONFIGURATION_SET_NOT_FOUND": "ConfigurationSetDoesNotExistException",
    "TEMPLATE_NOT_FOUND": "NotFoundException",
    "INVALID_SENDING_POOL_NAME": "NotFoundException",
    "ACCOUNT_SUSPENDED": "AccountSuspendedException",
    "ACCOUNT_THROTTLED": "TooManyRequestsException",
    "ACCOUNT_DAILY_QUOTA_EXCEEDED": "DailyQuota",
    "ACCOUNT_SENDING_PAUSED": "SendingPausedException",
    "CONFIGURATION_SET_SENDING_PAUSED": "ConfigurationSetPaused",
    "INVALID_PARAMETER": "BadRequestException",
    "TRANSIENT_FAILURE": "TransientFailure",
    "FAILED": "Failed",
}

_DAILY = re.compile(r"daily\s+(message|sending|email)?\s*quota|24.hour", re.I)
_RATE_TEXT = re.compile(r"(sending|send) rate exceeded|rate exceeded", re.I)
_ADDRESS = re.compile(r"[^\s,<>;:\"']+@[^\s,<>;:\"']+")


def judge_send(reply: Reply, *, sender: str, recipient: str) -> SendResult:
    """The outcome of one SendEmail call from its answer.

    `sender` and `recipient` are bare addresses: "not verified" means something else for each.
    """
    if reply.status == 200 and reply.body is not None:
        message_id = reply.body.get("MessageId")
        if isinstance(message_id, str) and message_id:
            return SendResult(Outcome.ACCEPTED, message_id)
    return judge_error(reply, sender=sender, recipient=recipient)


def judge_error(reply: Reply, *, sender: str, recipient: str = "") -> SendResult:
    """The outcome of an answer that is no success (of a single or of a whole bulk call)."""
    if reply.status >= 500:
        return SendResult(
            Outcome.UNKNOWN,
            code="server_error",
            reason=_with_words(
                f"SES answered with an error of its own (HTTP {reply.status}); whether it took "
                "the mail is not known.",
                reply.message if reply.error_type else "",
            ),
        )
    if not 400 <= reply.status < 500 or not reply.error_type:
        return SendResult(
            Outcome.UNKNOWN,
            code="unreadable_answer",
            reason=f"The answer (HTTP {reply.status}) was not one of SES that can be read; "
            "whether the mail was taken is not known.",
        )
    return _judge_type(reply.error_type, reply.message, sender, recipient)


def judge_bulk_entry(entry: object, *, sender: str, recipient: str) -> SendResult:
    """The outcome of one element of BulkEmailEntryResults; anything unreadable is unknown."""
    status = entry.get("Status") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(status, str):
        return SendResult(
            Outcome.UNKNOWN,
            code="unreadable_answer",
            reason="SES's answer for this mail cannot be read; whether it was taken is not known.",
        )
    message_id = entry.get("MessageId")
    if status == "SUCCESS" and isinstance(message_id, str) and message_id:
        return SendResult(Outcome.ACCEPTED, message_id)
    error_type = _BULK_STATUS.get(status)
    if error_type is None:
        return SendResult(
            Outcome.UNKNOWN,
            code="unreadable_answer",
            reason=f"SES gave this mail the status {status[:60]}, which says neither that it was "
            "taken nor that it was not.",
        )
    return _judge_type(error_type, str(entry.get("Error") or ""), sender, recipient)


def _judge_type(error_type: str, words: str, sender: str, recipient: str) -> SendResult:
    outcome, code, sentence = _decide(error_type, words, sender, recipient)
    return SendResult(outcome, code=code, reason=_with_words(sentence, words))


def _decide(error_type: str, words: str, sender: str, recipient: str) -> tuple[Outcome, str, str]:
    special = _by_words(error_type, words)
    if special is not None:
        return special
    if error_type == "MessageRejected" and "not verified" in words.lower():
        return _not_verified(words, sender, recipient)
    known = _BY_TYPE.get(error_type)
    if known is not None:
        return known
    return _O.REFUSED, "refused", f"{_REFUSED[:-1]} ({error_type[:80]})."


def _by_words(error_type: str, words: str) -> tuple[Outcome, str, str] | None:
    """What AWS tells in the message alone, whatever the type says."""
    if error_type == "DailyQuota" or _DAILY.search(words):
        return (
            _O.QUOTA,
            "daily_quota",
            "The 24-hour sending quota of the SES account is used up; sending goes on by itself.",
        )
    if _RATE_TEXT.search(words):
        return _RATE
    if error_type == "TransientFailure":
        return (_O.THROTTLED, "transient_failure", "SES had a passing trouble with this mail.")
    if error_type == "Failed":
        return (_O.REFUSED, "failed", "SES could not send this mail.")
    configuration_set = "configuration set" in words.lower()
    if error_type == "ConfigurationSetPaused" or (
        error_type == "SendingPausedException" and configuration_set
    ):
        return (
            _O.STOP_CAMPAIGN,
            "configuration_set_paused",
            (
                "Sending is paused for the configuration set of this campaign. Switch it on in the "
                "SES console, then resume."
            ),
        )
    if configuration_set and re.search(r"not (exist|found)", words, re.I):
        return _BY_TYPE["ConfigurationSetDoesNotExistException"]
    if error_type == "InvalidSignatureException" and re.search(r"expired|not yet current", words):
        return _BY_TYPE["RequestExpired"]
    return None


def _not_verified(words: str, sender: str, recipient: str) -> tuple[Outcome, str, str]:
    """AWS lists the identities that failed; in the sandbox recipients are among them."""
    named = {address.rstrip(".").lower() for address in _ADDRESS.findall(words)}
    if recipient.lower() in named and sender.lower() not in named:
        return (
            _O.RECIPIENT_NOT_VERIFIED,
            "recipient_not_verified",
            (
                "The SES account is in the sandbox, where only verified addresses can be written "
                "to. Ask AWS for production access in the SES console."
            ),
        )
    return (
        _O.STOP_CAMPAIGN,
        "sender_not_verified",
        (
            f"The sender {sender} is not verified in SES in this region. Verify the address or its "
            "domain in the SES console, then resume."
        ),
    )


def _with_words(sentence: str, words: str) -> str:
    words = " ".join(words.split())[:500]
    return f"{sentence} SES says: {words}" if words else sentence

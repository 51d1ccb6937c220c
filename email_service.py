"""The one place that sends mail: one call to SES, one outcome, no retry.

When, how fast and to whom is decided elsewhere (scheduler.py, rate_limiter.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from aws.clients import AwsClients
from aws.ses_calls import SesCalls
from domain.bulk_template import BulkEmail, BulkTemplate, send_bulk_request
from domain.outgoing import OutgoingEmail, Sender, Unsendable, make_sender, send_email_request
from domain.send_outcomes import (
    NotSubmitted,
    Outcome,
    OutcomeUnknown,
    Reply,
    SendResult,
    judge_bulk_entry,
    judge_error,
    judge_send,
)

__all__ = [
    "BULK_REFUSED",
    "BULK_THROTTLED",
    "EmailService",
    "Outcome",
    "OutgoingEmail",
    "SendResult",
    "Sender",
    "make_email_service",
    "make_sender",
]


#: Codes of a bulk call that SES refused as a whole, or found to be one too many.
BULK_REFUSED, BULK_THROTTLED = "bulk_refused", "bulk_throttled"


class EmailService:
    """Sends mails through SES; safe to share between threads."""

    def __init__(self, calls: SesCalls) -> None:
        self._calls = calls

    def send(self, mail: OutgoingEmail, guard: Callable[[], bool] | None = None) -> SendResult:
        """Send one mail with SendEmail; never raises for anything SES or the network does.

        Takes at most 10 s (aws.ses_calls.TIMEOUT_SECONDS). `guard` is asked last before the
        first byte is written: False gives NOT_SUBMITTED with the code `lease_over`.
        """
        try:
            request = send_email_request(mail)
        except Unsendable as error:
            return SendResult(Outcome.REFUSED, code="unsendable", reason=str(error))
        try:
            reply = self._calls.call("SendEmail", request, guard)
        except (NotSubmitted, OutcomeUnknown) as error:
            return error.result
        return judge_send(reply, sender=mail.sender.address, recipient=mail.to)

    def send_bulk(
        self,
        template: BulkTemplate,
        sender: Sender,
        mails: Sequence[BulkEmail],
        configuration_set: str = "",
        guard: Callable[[], bool] | None = None,
    ) -> list[SendResult]:
        """Send 1 to 50 mails with one SendBulkEmail; one result per mail, in order.

        A call that SES refuses as a whole took no mail: all are NOT_SUBMITTED with the code
        `bulk_refused`, for the caller to send them singly. An answer that does not match the
        entries one by one leaves all of them UNKNOWN. Too many calls, which says nothing about
        the rate of mails, is THROTTLED with the code `bulk_throttled`.
        """
        try:
            request = send_bulk_request(template, sender, mails, configuration_set)
            reply = self._calls.call("SendBulkEmail", request, guard)
        except (NotSubmitted, OutcomeUnknown) as error:
            return [error.result] * len(mails)
        except Unsendable as error:
            refused = SendResult(Outcome.NOT_SUBMITTED, code=BULK_REFUSED, reason=str(error))
            return [refused] * len(mails)
        entries = (reply.body or {}).get("BulkEmailEntryResults") if reply.status == 200 else None
        if isinstance(entries, list) and len(entries) == len(mails):
            return [
                judge_bulk_entry(entry, sender=sender.address, recipient=mail.to)
                for entry, mail in zip(entries, mails, strict=True)
            ]
        return [_judge_whole(judge_error(reply, sender=sender.address), reply, sender)] * len(mails)

    def close(self) -> None:
        """Close pooled connections."""
        self._calls.close()


def _judge_whole(result: SendResult, reply: Reply, sender: Sender) -> SendResult:
    """What an error of a whole bulk call means for each of its mails."""
    about_others = result.code == "sender_not_verified" and (
        sender.address.lower() not in reply.message.lower()
    )
    if result.outcome is Outcome.REFUSED or about_others:
        return replace(result, outcome=Outcome.NOT_SUBMITTED, code=BULK_REFUSED)
    if result.outcome is Outcome.THROTTLED and "sending rate" not in reply.message.lower():
        return replace(result, code=BULK_THROTTLED)
    return result


def make_email_service(clients: AwsClients) -> EmailService:
    """The service over the clients' endpoint; raises BotoCoreError if no client can be made."""
    return EmailService(clients.ses_calls())

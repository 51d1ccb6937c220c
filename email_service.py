"""The one place that sends mail: one call to SES, one outcome, no retry.

When, how fast and to whom is decided elsewhere (scheduler.py, rate_limiter.py).
"""

from __future__ import annotations

from collections.abc import Callable

from aws.clients import AwsClients
from aws.ses_calls import SesCalls
from domain.outgoing import OutgoingEmail, Sender, Unsendable, make_sender, send_email_request
from domain.send_outcomes import (
    NotSubmitted,
    Outcome,
    OutcomeUnknown,
    SendResult,
    judge_send,
)

__all__ = [
    "EmailService",
    "Outcome",
    "OutgoingEmail",
    "SendResult",
    "Sender",
    "make_email_service",
    "make_sender",
]


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

    def close(self) -> None:
        """Close pooled connections."""
        self._calls.close()


def make_email_service(clients: AwsClients) -> EmailService:
    """The service over the clients' endpoint; raises BotoCoreError if no client can be made."""
    return EmailService(clients.ses_calls())

"""What SES knows of one address (GetEmailAddressInsights): billed for every address it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import why_not

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

_TOO_MANY = ("TooManyRequestsException", "ThrottlingException")
_DENIED = ("AccessDeniedException", "AccessDenied")


class TooMany(Exception):
    """SES wants fewer questions a second: wait, then ask again."""


class CannotAsk(Exception):
    """SES answers no question of this kind; the message is a sentence for a person."""


def ask_about(ses: SESV2Client, email: str) -> dict[str, str]:
    """HIGH, MEDIUM or LOW by the name of the check, `IsValid` over all; empty = no judgement.

    Raises TooMany or CannotAsk.
    """
    try:
        answer: dict[str, Any] = dict(ses.get_email_address_insights(EmailAddress=email))
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _TOO_MANY:
            raise TooMany from error
        if code == "BadRequestException":
            return {}
        if code in _DENIED:
            raise CannotAsk(
                "Amazon SES may not be asked about addresses with these credentials: allow "
                "ses:GetEmailAddressInsights in IAM, then ask again."
            ) from error
        raise CannotAsk(f"Amazon SES gave no answer about an address. {why_not(error)}") from error
    except BotoCoreError as error:
        raise CannotAsk(f"Amazon SES cannot be asked just now. {why_not(error)}") from error
    found = answer.get("MailboxValidation") or {}
    named = {"IsValid": found.get("IsValid"), **(found.get("Evaluations") or {})}
    return {
        name: str(one["ConfidenceVerdict"])
        for name, one in named.items()
        if one and "ConfidenceVerdict" in one
    }

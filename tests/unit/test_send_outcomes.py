"""Every error that SES can answer with, and the outcome it amounts to."""

from __future__ import annotations

import botocore.session
import pytest

from domain.send_outcomes import (
    GIVE_BACK,
    Outcome,
    Reply,
    SendResult,
    judge_bulk_entry,
    judge_error,
    judge_send,
)

SENDER, RECIPIENT = "news@example.com", "ann@example.net"


def _judged(status: int, error_type: str, message: str = "") -> SendResult:
    return judge_send(Reply(status, error_type, message), sender=SENDER, recipient=RECIPIENT)


@pytest.mark.parametrize(
    ("status", "error_type", "message", "outcome", "code"),
    [
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", Outcome.THROTTLED,
         "throttled"),
        (400, "ThrottlingException", "Rate exceeded", Outcome.THROTTLED, "throttled"),
        (400, "Throttling", "Maximum sending rate exceeded.", Outcome.THROTTLED, "throttled"),
        (454, "Throttling", "Daily message quota exceeded.", Outcome.QUOTA, "daily_quota"),
        (429, "TooManyRequestsException", "Daily message quota exceeded", Outcome.QUOTA,
         "daily_quota"),
        (400, "LimitExceededException", "too many instances", Outcome.QUOTA, "limit_exceeded"),
        (400, "AccountSuspendedException", "", Outcome.STOP_ACCOUNT, "account_suspended"),
        (400, "SendingPausedException", "Sending paused for this account.", Outcome.STOP_ACCOUNT,
         "sending_paused"),
        (400, "SendingPausedException", "Sending is paused for configuration set bes",
         Outcome.STOP_CAMPAIGN, "configuration_set_paused"),
        (400, "MailFromDomainNotVerifiedException", "", Outcome.STOP_CAMPAIGN,
         "mail_from_not_verified"),
        (404, "NotFoundException", "Configuration set <bes> does not exist.",
         Outcome.STOP_CAMPAIGN, "configuration_set_missing"),
        (404, "NotFoundException", "Tenant not found", Outcome.STOP_CAMPAIGN, "not_found"),
        (404, "UnknownOperationException", "", Outcome.STOP_CAMPAIGN, "wrong_endpoint"),
        (403, "AccessDeniedException", "not authorized", Outcome.STOP_CAMPAIGN, "access_denied"),
        (403, "UnrecognizedClientException", "", Outcome.STOP_CAMPAIGN, "credentials"),
        (403, "ExpiredTokenException", "", Outcome.STOP_CAMPAIGN, "credentials"),
        (403, "InvalidSignatureException", "The request signature we calculated does not match",
         Outcome.STOP_CAMPAIGN, "credentials"),
        (403, "InvalidSignatureException", "Signature expired: 20260302T0900Z is now earlier",
         Outcome.STOP_CAMPAIGN, "clock_skew"),
        (400, "MessageRejected", "Transaction failed: bad attachment", Outcome.REFUSED,
         "message_rejected"),
        (400, "BadRequestException", "Missing final '@domain'", Outcome.REFUSED, "bad_request"),
        (400, "SomethingNew", "words", Outcome.REFUSED, "refused"),
        (500, "InternalServiceErrorException", "", Outcome.UNKNOWN, "server_error"),
        (503, "TooManyRequestsException", "Maximum sending rate exceeded.", Outcome.UNKNOWN,
         "server_error"),
        (400, "", "", Outcome.UNKNOWN, "unreadable_answer"),
        (301, "PermanentRedirect", "", Outcome.UNKNOWN, "unreadable_answer"),
        (200, "", "", Outcome.UNKNOWN, "unreadable_answer"),
        (0, "", "", Outcome.UNKNOWN, "unreadable_answer"),
    ],
)  # fmt: skip
def test_each_error_has_its_outcome(
    status: int, error_type: str, message: str, outcome: Outcome, code: str
) -> None:
    result = _judged(status, error_type, message)
    assert (result.outcome, result.code) == (outcome, code)
    assert result.reason
    assert result.message_id is None
    if status < 500 and error_type and status >= 400:
        assert message in result.reason  # SES's own words are kept


NOT_VERIFIED = (
    "Email address is not verified. The following identities failed the check in region US-EAST-1: "
)


@pytest.mark.parametrize(
    ("named", "outcome", "code"),
    [
        (RECIPIENT, Outcome.RECIPIENT_NOT_VERIFIED, "recipient_not_verified"),
        (RECIPIENT.upper(), Outcome.RECIPIENT_NOT_VERIFIED, "recipient_not_verified"),
        (SENDER, Outcome.STOP_CAMPAIGN, "sender_not_verified"),
        (f"{SENDER}, {RECIPIENT}", Outcome.STOP_CAMPAIGN, "sender_not_verified"),
        (f"{RECIPIENT}, News <{SENDER}>", Outcome.STOP_CAMPAIGN, "sender_not_verified"),
        ("x" + RECIPIENT, Outcome.STOP_CAMPAIGN, "sender_not_verified"),
        ("arn:aws:ses:us-east-1:1:identity/example.com", Outcome.STOP_CAMPAIGN,
         "sender_not_verified"),
    ],
)  # fmt: skip
def test_not_verified_means_the_sandbox_only_if_it_names_the_recipient_alone(
    named: str, outcome: Outcome, code: str
) -> None:
    result = _judged(400, "MessageRejected", NOT_VERIFIED + named)
    assert (result.outcome, result.code) == (outcome, code)


def test_a_message_id_is_what_makes_a_mail_accepted() -> None:
    taken = judge_send(Reply(200, body={"MessageId": "m"}), sender=SENDER, recipient=RECIPIENT)
    assert taken == SendResult(Outcome.ACCEPTED, "m")
    for body in ({}, {"MessageId": None}, {"MessageId": ""}, {"MessageId": 5}, None):
        result = judge_send(Reply(200, body=body), sender=SENDER, recipient=RECIPIENT)
        assert result.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("MESSAGE_REJECTED", Outcome.REFUSED),
        ("MAIL_FROM_DOMAIN_NOT_VERIFIED", Outcome.STOP_CAMPAIGN),
        ("CONFIGURATION_SET_NOT_FOUND", Outcome.STOP_CAMPAIGN),
        ("TEMPLATE_NOT_FOUND", Outcome.STOP_CAMPAIGN),
        ("ACCOUNT_SUSPENDED", Outcome.STOP_ACCOUNT),
        ("ACCOUNT_THROTTLED", Outcome.THROTTLED),
        ("ACCOUNT_DAILY_QUOTA_EXCEEDED", Outcome.QUOTA),
        ("INVALID_SENDING_POOL_NAME", Outcome.STOP_CAMPAIGN),
        ("ACCOUNT_SENDING_PAUSED", Outcome.STOP_ACCOUNT),
        ("CONFIGURATION_SET_SENDING_PAUSED", Outcome.STOP_CAMPAIGN),
        ("INVALID_PARAMETER", Outcome.REFUSED),
        ("TRANSIENT_FAILURE", Outcome.THROTTLED),
        ("FAILED", Outcome.REFUSED),
        ("SOMETHING_NEW", Outcome.UNKNOWN),
    ],
)
def test_each_entry_of_a_bulk_answer_has_its_outcome(status: str, outcome: Outcome) -> None:
    entry = {"Status": status, "Error": "words of SES"}
    result = judge_bulk_entry(entry, sender=SENDER, recipient=RECIPIENT)
    assert result.outcome is outcome
    assert result.reason


def test_a_bulk_entry_is_accepted_by_status_and_message_id_together() -> None:
    def judged(entry: object) -> SendResult:
        return judge_bulk_entry(entry, sender=SENDER, recipient=RECIPIENT)

    assert judged({"Status": "SUCCESS", "MessageId": "m"}) == SendResult(Outcome.ACCEPTED, "m")
    broken: tuple[object, ...] = (
        {"Status": "SUCCESS"},
        {"MessageId": "m"},
        {},
        None,
        [],
        "SUCCESS",
    )
    for entry in broken:
        assert judged(entry).outcome is Outcome.UNKNOWN


def test_the_table_knows_every_error_and_status_of_the_service_model() -> None:
    model = botocore.session.Session().get_service_model("sesv2")
    for operation in ("SendEmail", "SendBulkEmail"):
        for shape in model.operation_model(operation).error_shapes:
            result = judge_error(Reply(400, shape.name, "w"), sender=SENDER)
            assert result.code != "refused", shape.name
    statuses = model.shape_for("BulkEmailStatus").enum  # type: ignore[attr-defined]
    assert len(statuses) == 14
    for status in statuses:
        entry = {"Status": status, "MessageId": "m"}
        result = judge_bulk_entry(entry, sender=SENDER, recipient=RECIPIENT)
        assert result.outcome is not Outcome.UNKNOWN, status


def test_only_what_ses_never_took_is_given_back() -> None:
    assert Outcome.UNKNOWN not in GIVE_BACK
    assert Outcome.ACCEPTED not in GIVE_BACK
    assert Outcome.REFUSED not in GIVE_BACK

"""Every fault: what the client sees, and whether the mail was taken."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from ses_simulator.faults import Faults, Rule
from ses_simulator.outcomes import SIMULATOR_DOMAIN
from tests.simulator.conftest import ONCE, SUCCESS, Account, eventually, fetch
from tests.simulator.test_sending import bulk, entry


def taken(aws: Account) -> int:
    """How many mails the outbox has."""
    return int(aws.get("/_sim/stats")["mails"])


def outcome(aws: Account, to: str = SUCCESS) -> str:
    """What one send call ends with."""
    try:
        aws.send(to)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return f"{status} {error.response['Error']['Code']}"
    except BotoCoreError as error:
        return type(error).__name__
    except KeyError:
        return "no message id"  # botocore reads half a document as an empty one
    return "sent"


@pytest.mark.parametrize(
    ("fault", "rule", "expected", "mails"),
    [
        ("drop_before", Rule(every=1), ConnectionClosedError.__name__, 0),
        ("drop_after", Rule(every=1), ConnectionClosedError.__name__, 1),
        ("server_error", Rule(every=1, status="503"), "503 InternalFailure", 0),
        ("server_error_after", Rule(every=1), "500 InternalFailure", 1),
        ("timeout_before", Rule(every=1, seconds=0.05), ConnectionClosedError.__name__, 0),
        ("timeout_after", Rule(every=1, seconds=0.05), ConnectionClosedError.__name__, 1),
        ("garbled_after", Rule(every=1), "no message id", 1),
        ("throttle", Rule(every=1), "429 TooManyRequestsException", 0),
        ("daily_quota_exceeded", Rule(every=1), "429 TooManyRequestsException", 0),
        ("throttle", Rule(every=1, status="ThrottlingException"), "400 ThrottlingException", 0),
        ("refuse", Rule(every=1), "400 MessageRejected", 0),
        (
            "refuse",
            Rule(every=1, status="MailFromDomainNotVerifiedException"),
            "400 MailFromDomainNotVerifiedException",
            0,
        ),
    ],
)
def test_fault_of_sending(aws: Account, fault: str, rule: Rule, expected: str, mails: int) -> None:
    setattr(aws.simulator.faults, fault, rule)
    assert outcome(aws) == expected
    assert taken(aws) == mails
    aws.simulator.faults.clear()
    assert outcome(aws) == "sent"


def test_a_client_that_waits_too_short_sees_a_read_time_out(aws: Account) -> None:
    aws.simulator.faults.timeout_after = Rule(every=1, seconds=30)
    hasty = Account(aws.simulator, config=ONCE.merge(Config(read_timeout=0.2)))
    with pytest.raises(ReadTimeoutError):
        hasty.send()
    hasty.close()
    assert eventually(lambda: taken(aws) == 1)


def test_every_nth_call_is_struck(aws: Account) -> None:
    aws.simulator.faults.throttle = Rule(every=3)
    seen = [outcome(aws) for _ in range(7)]
    assert [word == "sent" for word in seen] == [True, True, False, True, True, False, True]


def test_a_share_of_calls_is_struck(aws: Account) -> None:
    aws.simulator.faults.throttle = Rule(share=0.5)
    struck = sum(outcome(aws) != "sent" for _ in range(60))
    assert 15 < struck < 45


def test_a_rule_can_name_an_address_and_a_number_of_times(aws: Account) -> None:
    aws.simulator.faults.refuse = Rule(match="unlucky", count=1)
    assert outcome(aws, "lucky@example.org") == "sent"
    assert outcome(aws, "unlucky@example.org") == "400 MessageRejected"
    assert outcome(aws, "unlucky@example.org") == "sent"


def test_answers_can_take_their_time(aws: Account) -> None:
    aws.simulator.faults.latency_ms = 120
    started = time.monotonic()
    aws.send()
    assert time.monotonic() - started >= 0.12


def test_bulk_entry_fails_with_the_status_of_the_rule(aws: Account) -> None:
    aws.simulator.faults.entry_error = Rule(every=2, status="ACCOUNT_THROTTLED")
    results = bulk(aws, [entry(f"r{n}@example.org") for n in range(4)])
    assert [result["Status"] for result in results] == [
        "SUCCESS",
        "ACCOUNT_THROTTLED",
        "SUCCESS",
        "ACCOUNT_THROTTLED",
    ]
    assert taken(aws) == 2


def test_nothing_answers_when_unreachable_but_the_control_does(aws: Account) -> None:
    aws.simulator.faults.unreachable = True
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        aws.ses.get_account()
    assert aws.get("/_sim/faults")["unreachable"] is True


def test_rate_is_counted_in_recipients_and_leaves_a_debt(aws: Account) -> None:
    aws.simulator.faults.max_send_rate = 2
    aws.send(Destination={"ToAddresses": [f"success+{n}@{SIMULATOR_DOMAIN}" for n in range(20)]})
    assert outcome(aws) == "429 TooManyRequestsException"
    assert aws.ses.get_account()["SendQuota"]["MaxSendRate"] == 2


def test_daily_quota_runs_out_and_other_senders_count(aws: Account) -> None:
    aws.simulator.faults.daily_quota = 10
    aws.simulator.faults.quota_used = 8
    assert [outcome(aws, f"r{n}@example.org") for n in range(3)] == [
        "sent",
        "sent",
        "429 TooManyRequestsException",
    ]
    quota = aws.ses.get_account()["SendQuota"]
    assert (quota["Max24HourSend"], quota["SentLast24Hours"]) == (10, 10)
    with pytest.raises(ClientError, match="Daily message quota exceeded"):
        aws.send()


def test_bulk_runs_into_the_quota_entry_by_entry(aws: Account) -> None:
    aws.simulator.faults.daily_quota = 2
    results = bulk(aws, [entry(f"r{n}@example.org") for n in range(3)])
    assert [result["Status"] for result in results] == [
        "SUCCESS",
        "SUCCESS",
        "ACCOUNT_DAILY_QUOTA_EXCEEDED",
    ]


def test_bulk_calls_can_have_a_rate_of_their_own(aws: Account) -> None:
    aws.simulator.faults.bulk_calls_per_second = 0.1
    bulk(aws, [entry("one@example.org")])
    with pytest.raises(aws.ses.exceptions.TooManyRequestsException):
        bulk(aws, [entry("two@example.org")])
    assert outcome(aws) == "sent"


@pytest.mark.parametrize(
    ("fault", "expected", "account"),
    [
        ("paused", "400 SendingPausedException", {"SendingEnabled": False}),
        (
            "suspended",
            "400 AccountSuspendedException",
            {"SendingEnabled": False, "EnforcementStatus": "SHUTDOWN"},
        ),
        ("probation", "sent", {"SendingEnabled": True, "EnforcementStatus": "PROBATION"}),
    ],
)
def test_state_of_the_account(
    aws: Account, fault: str, expected: str, account: dict[str, Any]
) -> None:
    setattr(aws.simulator.faults, fault, True)
    assert outcome(aws) == expected
    answer = aws.ses.get_account()
    assert {key: answer[key] for key in account} == account


def test_sandbox_sends_to_verified_and_simulator_addresses_only(aws: Account) -> None:
    aws.simulator.faults.sandbox = True
    assert aws.ses.get_account()["ProductionAccessEnabled"] is False
    assert aws.ses.get_account()["SendQuota"]["Max24HourSend"] == 200
    with pytest.raises(ClientError, match=r"not verified.*US-EAST-1: someone@example.org"):
        aws.send("someone@example.org")


def test_sandbox_lets_a_verified_recipient_through(aws: Account) -> None:
    aws.ses.create_email_identity(EmailIdentity="example.org")
    aws.simulator.faults.sandbox = True
    assert outcome(aws, "someone@example.org") == "sent"


@pytest.mark.parametrize("identity", ["news@example.com", "example.com", "*"])
def test_unverified_sender_is_refused_by_name(aws: Account, identity: str) -> None:
    aws.simulator.faults.unverified = [identity]
    with pytest.raises(ClientError, match=r"not verified.*: news@example.com") as caught:
        aws.send()
    assert caught.value.response["Error"]["Code"] == "MessageRejected"
    found = aws.ses.get_email_identity(EmailIdentity="news@example.com")
    assert found["VerifiedForSendingStatus"] is False
    with pytest.raises(ClientError, match="not verified"):
        bulk(aws, [entry("one@example.org")])


def test_denied_operations_and_expired_credentials(aws: Account) -> None:
    aws.simulator.faults.deny = ["GetAccount", "GetQueueAttributes", "GetTopicAttributes"]
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.ses.get_account()
    with pytest.raises(ClientError, match="AccessDenied"):
        aws.sqs.get_queue_attributes(QueueUrl=aws.simulator.queue_url, AttributeNames=["All"])
    with pytest.raises(ClientError, match="AuthorizationError"):
        aws.sns.get_topic_attributes(TopicArn=aws.simulator.topic_arn)
    assert outcome(aws) == "sent"
    aws.simulator.faults.expired_credentials = True
    assert outcome(aws) == "403 ExpiredTokenException"


def test_configuration_set_without_send_says_so_and_publishes_none(aws: Account) -> None:
    aws.simulator.faults.without_send = True
    answer = aws.ses.get_configuration_set_event_destinations(ConfigurationSetName="bes")
    assert "SEND" not in answer["EventDestinations"][0]["MatchingEventTypes"]
    aws.send()
    assert [event["eventType"] for event in aws.events(1)] == ["Delivery"]


def test_lost_events_never_come(aws: Account) -> None:
    aws.simulator.faults.lose_kinds = ["Send"]
    aws.send()
    assert [event["eventType"] for event in aws.events(1)] == ["Delivery"]
    aws.simulator.faults.lose_events = 1.0
    aws.send()
    assert eventually(lambda: aws.simulator.world.stats["event lost"] == 3)
    assert aws.events(1, timeout=0.1) == []


def test_duplicated_events_come_twice_under_one_id_or_two(aws: Account) -> None:
    aws.simulator.faults.duplicate_events = 1.0
    for _ in range(6):
        aws.send()
    seen: list[dict[str, Any]] = []
    while len(seen) < 24 and (messages := aws.receive()):
        seen += messages
    assert len(seen) == 24
    bodies = {message["Body"] for message in seen}
    # 12 events; those repeated by SNS are equal, those repeated by SES differ in their ids.
    assert 12 < len(bodies) < 24


def test_delayed_events_come_later(aws: Account) -> None:
    aws.simulator.faults.delay_events = 0.4
    started = time.monotonic()
    aws.send()
    assert len(aws.events(2)) == 2
    assert time.monotonic() - started >= 0.4


def test_reordered_events_change_places(aws: Account) -> None:
    aws.simulator.faults.reorder_events = 0.3
    for _ in range(15):
        aws.send()
    seen: dict[str, list[str]] = {}
    for event in aws.events(30):
        seen.setdefault(event["mail"]["messageId"], []).append(event["eventType"])
    assert ["Delivery", "Send"] in seen.values()
    assert all(sorted(kinds) == ["Delivery", "Send"] for kinds in seen.values())


def test_an_event_can_come_before_the_answer(aws: Account) -> None:
    aws.simulator.faults.event_before_response = 0.3
    aws.send()
    (send,) = [event for event in aws.events(2) if event["eventType"] == "Send"]
    answered = time.time()
    (message,) = aws.get("/_sim/outbox.json")["mails"]
    happened = message["history"][0]
    assert happened["what"] == "Send"
    assert answered - happened["at"] >= 0.3
    assert send["mail"]["messageId"] == message["message_id"]


def test_legacy_notifications_come_beside_events(aws: Account) -> None:
    aws.simulator.faults.legacy_notifications = True
    aws.send(f"bounce@{SIMULATOR_DOMAIN}")
    legacy = next(event for event in aws.events(3) if "notificationType" in event)
    assert legacy["notificationType"] == "Bounce"
    assert "tags" not in legacy["mail"]
    assert legacy["mail"]["sourceIp"]


def test_faults_are_switched_over_http(aws: Account) -> None:
    url = f"{aws.simulator.url}/_sim/faults"
    assert fetch(url, "PUT", b'{"throttle": {"every": 1}, "latency_ms": 1}')[0] == 200
    assert outcome(aws) == "429 TooManyRequestsException"
    fetch(url, "POST", b'{"throttle": {}}')
    assert outcome(aws) == "sent"
    assert aws.get("/_sim/faults")["latency_ms"] == 1
    fetch(url, "DELETE")
    assert aws.get("/_sim/faults")["latency_ms"] == 0


@pytest.mark.parametrize(
    "body", [b'{"throtle": {}}', b'{"throttle": 3}', b'{"sandbox": "yes"}', b"[]", b"{"]
)
def test_a_misspelt_fault_is_refused_and_changes_nothing(aws: Account, body: bytes) -> None:
    status, answer, _ = fetch(f"{aws.simulator.url}/_sim/faults", "PUT", body)
    assert status == 400
    assert b"error" in answer
    assert aws.simulator.faults == Faults()

"""Every finding of the diagnosis from its facts, without asking anybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aws.account import AccountFacts, IdentityFacts
from aws.clients import Goal, MailDestination
from aws.topology import (
    ConfigurationSetFacts,
    EventDestination,
    QueueFacts,
    Subscription,
    TopicFacts,
    Topology,
)
from config import EmailBackend, Settings
from services.diagnosis_checks import judge
from services.diagnosis_facts import Check, DatabaseFacts, Facts, Level

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:bes"
QUEUE_ARN = "arn:aws:sqs:eu-central-1:123456789012:bes"
EVENTS = frozenset(
    ("SEND", "DELIVERY", "BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "DELIVERY_DELAY",
     "SUBSCRIPTION")
)  # fmt: skip
SETTINGS = Settings(
    secret_key="x" * 32,
    database_url="sqlite://",
    email_backend=EmailBackend.SES,
    aws_region="eu-central-1",
    sender_email="news@example.com",
    postal_address="1 Example Street",
    public_base_url="https://mail.example.com",
    ses_configuration_set="bes",
    sqs_queue_url="https://sqs.eu-central-1.amazonaws.com/123456789012/bes",
    sns_topic_arn=(TOPIC,),
)
SQS = Subscription("arn:aws:sns:x", "sqs", QUEUE_ARN, confirmed=True, filtered=False, raw=False)
QUEUE = QueueFacts(
    SETTINGS.sqs_queue_url, QUEUE_ARN, 0, 0, 0,
    dead_letter_arn=QUEUE_ARN + "-dead", dead_letter_url="https://sqs/dead",
)  # fmt: skip
WAY = Topology(
    ConfigurationSetFacts("bes", True, True, (EventDestination("events", True, EVENTS, TOPIC),)),
    (TopicFacts(TOPIC, (SQS,)),),
    QUEUE,
    QueueFacts("https://sqs/dead", QUEUE_ARN + "-dead", 0, 0, 0),
)
ACCOUNT = AccountFacts(14.0, 50_000.0, 10.0, True, True, "HEALTHY")
DATABASE = DatabaseFacts(
    schema_version="0001",
    needed_version="0001",
    scheduler_age=2.0,
    last_sent_at=NOW - timedelta(hours=1),
    last_event_at=NOW - timedelta(minutes=59),
    last_event_door="sqs",
)
GOOD = Facts(
    settings=SETTINGS,
    now=NOW,
    destination=MailDestination(Goal.AWS, "https://email.eu-central-1.amazonaws.com"),
    database=DATABASE,
    credentials="environment",
    account=ACCOUNT,
    identity=IdentityFacts("example.com", True, True, "SUCCESS"),
    topology=WAY,
)


def _check(name: str, **changes: Any) -> Check:
    (found,) = [check for check in judge(replace(GOOD, **changes)) if check.name == name]
    return found


def test_a_sound_installation_is_all_ok_and_numbered() -> None:
    checks = judge(GOOD)
    assert [check for check in checks if check.level is not Level.OK] == []
    assert [check.number for check in checks] == list(range(1, len(checks) + 1))


def _way(**changes: Any) -> Topology:
    return replace(WAY, **changes)


def _set(**changes: Any) -> Topology:
    return _way(configuration_set=replace(WAY.configuration_set, **changes))


def _subscribed(*subscriptions: Subscription) -> Topology:
    return _way(topics=(TopicFacts(TOPIC, subscriptions),))


@pytest.mark.parametrize(
    ("name", "level", "word", "changes"),
    [
        (
            "Settings",
            Level.OK,
            "simulator",
            {"destination": MailDestination(Goal.SIMULATOR, "http://127.0.0.1:5001")},
        ),
        (
            "Settings",
            Level.WARN,
            "not to AWS",
            {"destination": MailDestination(Goal.OTHER, "http://127.0.0.1:9")},
        ),
        (
            "Settings",
            Level.WARN,
            "no campaign can be launched",
            {"settings": replace(SETTINGS, postal_address="")},
        ),
        (
            "Database and schema",
            Level.FAIL,
            "does not answer",
            {"database": DatabaseFacts(error="refused")},
        ),
        (
            "Database and schema",
            Level.FAIL,
            "missing",
            {"database": DatabaseFacts(needed_version="1")},
        ),
        ("Scheduler", Level.WARN, "Not checked", {"database": DatabaseFacts(error="refused")}),
        (
            "Scheduler",
            Level.FAIL,
            "No scheduler",
            {"database": replace(DATABASE, scheduler_age=None)},
        ),
        ("Scheduler", Level.FAIL, "3 h", {"database": replace(DATABASE, scheduler_age=10_800.0)}),
        ("Credentials", Level.FAIL, "no AWS credentials", {"credentials": None}),
        ("Credentials", Level.FAIL, "profile", {"aws_error": "The config profile (x) is unknown"}),
        (
            "Credentials",
            Level.FAIL,
            "does not accept",
            {"account": AccountFacts(error="AWS said InvalidClientTokenId: The security token")},
        ),
        (
            "SES account",
            Level.FAIL,
            "cannot be read",
            {"account": AccountFacts(error="Could not connect")},
        ),
        (
            "SES account",
            Level.WARN,
            "cannot be read",
            {"account": AccountFacts(error="AWS said AccessDeniedException: no")},
        ),
        (
            "SES account",
            Level.FAIL,
            "stopped",
            {"account": replace(ACCOUNT, enforcement_status="SHUTDOWN")},
        ),
        (
            "SES account",
            Level.FAIL,
            "stopped",
            {"account": replace(ACCOUNT, sending_enabled=False)},
        ),
        (
            "SES account",
            Level.WARN,
            "under review",
            {"account": replace(ACCOUNT, enforcement_status="PROBATION")},
        ),
        (
            "SES account",
            Level.WARN,
            "nearly used up",
            {"account": replace(ACCOUNT, sent_last_24_hours=45_000.0)},
        ),
        ("SES account", Level.OK, "no limit", {"account": replace(ACCOUNT, max_24_hour_send=-1.0)}),
        ("Sandbox", Level.WARN, "sandbox", {"account": replace(ACCOUNT, production_access=False)}),
        (
            "Sender identity",
            Level.WARN,
            "SENDER_EMAIL",
            {"settings": replace(SETTINGS, sender_email="")},
        ),
        (
            "Sender identity",
            Level.FAIL,
            "not known",
            {"identity": IdentityFacts("example.com", exists=False)},
        ),
        (
            "Sender identity",
            Level.FAIL,
            "not verified",
            {"identity": IdentityFacts("example.com", True, False, "PENDING")},
        ),
        (
            "Sender identity",
            Level.WARN,
            "cannot be read",
            {"identity": IdentityFacts("example.com", error="denied")},
        ),
        (
            "DKIM",
            Level.WARN,
            "PENDING",
            {"identity": IdentityFacts("example.com", True, True, "PENDING")},
        ),
        (
            "DKIM",
            Level.WARN,
            "MAIL FROM",
            {
                "identity": IdentityFacts(
                    "example.com", True, True, "SUCCESS", "b.example.com", "FAILED"
                )
            },
        ),
        (
            "Configuration set",
            Level.WARN,
            "not set",
            {"settings": replace(SETTINGS, ses_configuration_set="")},
        ),
        (
            "Configuration set",
            Level.FAIL,
            "does not exist",
            {"topology": _set(exists=False, destinations=None, error="x")},
        ),
        (
            "Configuration set",
            Level.WARN,
            "cannot be read",
            {"topology": _set(exists=None, destinations=None, error="denied")},
        ),
        (
            "Configuration set",
            Level.FAIL,
            "switched off",
            {"topology": _set(sending_enabled=False)},
        ),
        ("Event destinations", Level.FAIL, "no events", {"topology": _set(destinations=())}),
        (
            "Event destinations",
            Level.FAIL,
            "SEND",
            {
                "topology": _set(
                    destinations=(EventDestination("e", True, EVENTS - {"SEND"}, TOPIC),)
                )
            },
        ),
        (
            "Event destinations",
            Level.WARN,
            "REJECT",
            {
                "topology": _set(
                    destinations=(EventDestination("e", True, EVENTS - {"REJECT"}, TOPIC),)
                )
            },
        ),
        (
            "Topic",
            Level.FAIL,
            "cannot be read",
            {"topology": _way(topics=(TopicFacts(TOPIC, error="AWS said NotFound: x"),))},
        ),
        (
            "Topic",
            Level.WARN,
            "cannot be read",
            {"topology": _way(topics=(TopicFacts(TOPIC, error="AWS said AuthorizationError: x"),))},
        ),
        ("Subscription", Level.FAIL, "no subscription", {"topology": _subscribed()}),
        (
            "Subscription",
            Level.FAIL,
            "no subscription",
            {"topology": _subscribed(replace(SQS, endpoint="arn:aws:sqs:eu-central-1:1:other"))},
        ),
        (
            "Subscription",
            Level.FAIL,
            "not confirmed",
            {"topology": _subscribed(replace(SQS, confirmed=False))},
        ),
        (
            "Subscription",
            Level.FAIL,
            "signature",
            {
                "topology": _subscribed(
                    replace(
                        SQS,
                        protocol="https",
                        raw=True,
                        endpoint="https://mail.example.com/sns-notifications",
                    )
                )
            },
        ),
        (
            "Subscription",
            Level.WARN,
            "filter",
            {"topology": _subscribed(replace(SQS, filtered=True))},
        ),
        ("Queue", Level.WARN, "webhook alone", {"settings": replace(SETTINGS, sqs_queue_url="")}),
        (
            "Queue",
            Level.FAIL,
            "cannot be read",
            {"topology": _way(queue=QueueFacts("u", error="no"))},
        ),
        ("Queue", Level.WARN, "20,000", {"topology": _way(queue=replace(QUEUE, visible=20_000))}),
        (
            "Dead-letter queue",
            Level.WARN,
            "no dead-letter",
            {"topology": _way(queue=replace(QUEUE, dead_letter_arn=None), dead_letters=None)},
        ),
        (
            "Dead-letter queue",
            Level.WARN,
            "3 messages",
            {"topology": _way(dead_letters=QueueFacts("u", "a", 3, 0, 0))},
        ),
        (
            "Webhook allow-list",
            Level.FAIL,
            "refuses",
            {"settings": replace(SETTINGS, sns_topic_arn=(TOPIC + "2",))},
        ),
        (
            "Webhook allow-list",
            Level.OK,
            "believes",
            {"settings": replace(SETTINGS, sns_topic_arn=())},
        ),
        (
            "Webhook allow-list",
            Level.WARN,
            "refuses everything",
            {"settings": replace(SETTINGS, sns_topic_arn=()), "topology": None},
        ),
        (
            "Last event",
            Level.FAIL,
            "no event has come since",
            {"database": replace(DATABASE, last_event_at=NOW - timedelta(hours=2))},
        ),
        (
            "Last event",
            Level.OK,
            "just been sent",
            {"database": replace(DATABASE, last_sent_at=NOW, last_event_at=None)},
        ),
        (
            "Notices",
            Level.FAIL,
            "knocked",
            {"database": replace(DATABASE, notices=(("fail", "A foreign topic knocked."),))},
        ),
    ],
)
def test_each_fault_is_named(name: str, level: Level, word: str, changes: dict[str, Any]) -> None:
    check = _check(name, **changes)
    assert (check.level, word in check.finding) == (level, True), check
    assert check.next_step or check.level is Level.OK


def test_what_was_not_asked_is_never_ok() -> None:
    checks = judge(replace(GOOD, account=None, identity=None, topology=None))
    for check in checks[4:14]:
        assert check.level is Level.WARN, check


def test_events_reach_the_queue_only_unfiltered_and_only_ours() -> None:
    assert WAY.queue_gets("SEND") is True
    assert WAY.queue_gets("OPEN") is False
    assert _subscribed(replace(SQS, filtered=True)).queue_gets("SEND") is False
    assert _subscribed(replace(SQS, filtered=None)).queue_gets("SEND") is None
    assert _subscribed(replace(SQS, endpoint="other")).queue_gets("SEND") is False
    assert _way(queue=None).queue_gets("SEND") is False
    assert _way(queue=QueueFacts("u", error="denied")).queue_gets("SEND") is None
    assert _set(destinations=None).queue_gets("SEND") is None
    assert _way(topics=(TopicFacts(TOPIC, error="x"),)).queue_gets("SEND") is None


def test_a_flood_is_an_https_subscription_without_a_filter() -> None:
    https = replace(SQS, protocol="https", endpoint="https://example.com/sns-notifications")
    assert WAY.https_flood() is False
    assert _subscribed(SQS, https).https_flood() is True
    assert _subscribed(SQS, replace(https, filtered=True)).https_flood() is False
    assert _subscribed(SQS, replace(https, filtered=None)).https_flood() is None
    assert _subscribed(SQS, replace(https, confirmed=False)).https_flood() is False

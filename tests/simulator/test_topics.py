"""The SNS side: the handshake, signatures, headers, retries and what is lost after them."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.simulator.conftest import Account, eventually, fetch

CONFIRMATION_KEYS = (
    "Message",
    "MessageId",
    "SubscribeURL",
    "Timestamp",
    "Token",
    "TopicArn",
    "Type",
)
NOTIFICATION_KEYS = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")


@dataclass
class Webhook:
    """An HTTP endpoint that keeps what it gets and answers as told, 200 when told nothing."""

    url: str = ""
    posts: list[tuple[dict[str, str], dict[str, Any] | str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of the posts whose header names this type."""
        return [
            body
            for headers, body in list(self.posts)
            if headers["x-amz-sns-message-type"] == kind and isinstance(body, dict)
        ]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A listening endpoint."""
    hook = Webhook()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            hook.posts.append((headers, json.loads(body)))
            self.send_response(hook.answers.pop(0) if hook.answers else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/sns-notifications"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield hook
    server.shutdown()
    server.server_close()
    thread.join()


def verify(envelope: dict[str, Any], pem: bytes) -> None:
    """Raises InvalidSignature. Written from the SNS guide, not from the simulator's code."""
    certificate = x509.load_pem_x509_certificate(pem)
    keys = NOTIFICATION_KEYS if envelope["Type"] == "Notification" else CONFIRMATION_KEYS
    text = "".join(f"{key}\n{envelope[key]}\n" for key in keys if key in envelope)
    digest = hashes.SHA1() if envelope["SignatureVersion"] == "1" else hashes.SHA256()  # noqa: S303
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    signature = base64.b64decode(envelope["Signature"])
    key.verify(signature, text.encode(), padding.PKCS1v15(), digest)


def subscribe(aws: Account, webhook: Webhook, **attributes: str) -> str:
    """Go through the handshake; the subscription's ARN."""
    answer = aws.sns.subscribe(
        TopicArn=aws.simulator.topic_arn,
        Protocol="http",
        Endpoint=webhook.url,
        Attributes=attributes,
    )
    assert answer["SubscriptionArn"] == "pending confirmation"
    (request,) = eventually(lambda: webhook.of_type("SubscriptionConfirmation"))
    confirmed = aws.sns.confirm_subscription(
        TopicArn=aws.simulator.topic_arn,
        Token=request["Token"],
        AuthenticateOnUnsubscribe="true",
    )
    return str(confirmed["SubscriptionArn"])


def notifications(webhook: Webhook, count: int) -> list[dict[str, Any]]:
    """At least so many notifications."""
    return list(
        eventually(
            lambda: (found := webhook.of_type("Notification")) and len(found) >= count and found
        )
    )


def test_nothing_is_delivered_before_the_subscription_is_confirmed(
    aws: Account, webhook: Webhook
) -> None:
    topic = aws.simulator.topic_arn
    aws.sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=webhook.url)
    eventually(lambda: webhook.posts)
    listed = aws.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert {s["Protocol"]: s["SubscriptionArn"] for s in listed}["http"] == "PendingConfirmation"
    assert aws.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "1"
    aws.send()
    assert len(aws.events(2)) == 2
    assert len(webhook.posts) == 1
    with pytest.raises(ClientError, match="Token"):
        aws.sns.confirm_subscription(TopicArn=topic, Token="wrong")


@pytest.mark.parametrize("version", ["1", "2"])
def test_every_message_is_signed_by_the_certificate_that_is_served(
    aws: Account, webhook: Webhook, version: str
) -> None:
    aws.sns.set_topic_attributes(
        TopicArn=aws.simulator.topic_arn, AttributeName="SignatureVersion", AttributeValue=version
    )
    arn = subscribe(aws, webhook)
    aws.send()
    aws.sns.publish(TopicArn=aws.simulator.topic_arn, Message='plain "text"\nwith ü\n')
    notifications(webhook, 3)
    aws.sns.unsubscribe(SubscriptionArn=arn)
    eventually(lambda: webhook.of_type("UnsubscribeConfirmation"))
    envelopes = [body for _, body in webhook.posts]
    assert {e["Type"] for e in envelopes if isinstance(e, dict)} == {
        "SubscriptionConfirmation",
        "Notification",
        "UnsubscribeConfirmation",
    }
    for envelope in envelopes:
        assert isinstance(envelope, dict)
        assert envelope["SignatureVersion"] == version
        host, _, name = envelope["SigningCertURL"].rpartition("/")
        assert host == "https://sns.us-east-1.amazonaws.com"
        status, pem, _ = fetch(f"{aws.simulator.url}/_sim/certificates/{name}")
        assert status == 200
        verify(envelope, pem)
        with pytest.raises(InvalidSignature):
            verify(envelope | {"Message": envelope["Message"] + " "}, pem)
    subjects = [e["Subject"] for e in envelopes if isinstance(e, dict) and "Subject" in e]
    assert subjects == ["Amazon SES Email Event Notification"] * 2


def test_only_the_present_certificate_is_served(aws: Account) -> None:
    status, pem, _ = fetch(f"{aws.simulator.url}/_sim/certificate")
    assert (status, pem) == (200, aws.simulator.certificate_pem)
    other = f"SimpleNotificationService-{'0' * 32}.pem"
    assert fetch(f"{aws.simulator.url}/_sim/certificates/{other}")[0] == 404


def test_headers_are_those_of_sns(aws: Account, webhook: Webhook) -> None:
    arn = subscribe(aws, webhook)
    aws.send()
    (notification, *_) = notifications(webhook, 2)
    confirmation, first = webhook.posts[0][0], webhook.posts[1][0]
    assert first["x-amz-sns-message-type"] == "Notification"
    assert first["x-amz-sns-message-id"] == notification["MessageId"]
    assert first["x-amz-sns-topic-arn"] == aws.simulator.topic_arn
    assert first["x-amz-sns-subscription-arn"] == arn
    assert first["content-type"] == "text/plain; charset=UTF-8"
    assert first["user-agent"] == "Amazon Simple Notification Service Agent"
    assert "x-amz-sns-subscription-arn" not in confirmation
    assert "x-amz-sns-rawdelivery" not in first


def test_webhook_and_queue_get_the_same_message_id(aws: Account, webhook: Webhook) -> None:
    subscribe(aws, webhook)
    aws.send()
    posted = {n["MessageId"]: n["Message"] for n in notifications(webhook, 2)}
    queued: dict[str, str] = {}
    while len(queued) < 2 and (messages := aws.receive()):
        bodies = [json.loads(message["Body"]) for message in messages]
        queued |= {body["MessageId"]: body["Message"] for body in bodies}
    assert posted == queued


def test_raw_delivery_over_http_has_no_envelope(aws: Account, webhook: Webhook) -> None:
    subscribe(aws, webhook, RawMessageDelivery="true")
    aws.send()
    eventually(lambda: len(webhook.posts) == 3)
    headers, body = webhook.posts[1]
    assert headers["x-amz-sns-rawdelivery"] == "true"
    assert isinstance(body, dict)
    assert body["eventType"] == "Send"


def test_failed_delivery_is_repeated_with_the_same_id(aws: Account, webhook: Webhook) -> None:
    subscribe(aws, webhook)
    webhook.answers = [500, 503, 429]
    aws.sns.publish(TopicArn=aws.simulator.topic_arn, Message="hello")
    assert len({n["MessageId"] for n in notifications(webhook, 4)}) == 1
    assert eventually(lambda: aws.simulator.world.stats["webhook delivered"] == 2)
    assert aws.simulator.world.stats["webhook discarded"] == 0


def test_after_three_retries_the_message_is_discarded_into_the_dead_letter_queue(
    aws: Account, webhook: Webhook
) -> None:
    arn = "arn:aws:sqs:us-east-1:000000000000:bes-events-dead"
    subscribe(aws, webhook, RedrivePolicy=json.dumps({"deadLetterTargetArn": arn}))
    webhook.answers = [500] * 4
    aws.sns.publish(TopicArn=aws.simulator.topic_arn, Message="hello")
    assert eventually(lambda: aws.simulator.world.stats["webhook discarded"] == 1)
    assert len(webhook.of_type("Notification")) == 4
    url = aws.sqs.get_queue_url(QueueName="bes-events-dead")["QueueUrl"]
    (message,) = aws.receive(url)
    assert json.loads(message["Body"])["Message"] == "hello"


def test_a_refusal_is_final_at_once(aws: Account, webhook: Webhook) -> None:
    subscribe(aws, webhook)
    webhook.answers = [403]
    aws.sns.publish(TopicArn=aws.simulator.topic_arn, Message="hello")
    assert eventually(lambda: aws.simulator.world.stats["webhook discarded"] == 1)
    assert len(webhook.of_type("Notification")) == 1


def test_webhook_that_is_down_loses_what_came_meanwhile(aws: Account, webhook: Webhook) -> None:
    subscribe(aws, webhook)
    aws.simulator.faults.webhook_down = True
    aws.send()
    assert eventually(lambda: aws.simulator.world.stats["webhook discarded"] == 2)
    aws.simulator.faults.webhook_down = False
    aws.sns.publish(TopicArn=aws.simulator.topic_arn, Message="back")
    assert [n["Message"] for n in notifications(webhook, 1)] == ["back"]


def test_filter_policy_on_the_body_lets_only_wanted_events_through(
    aws: Account, webhook: Webhook
) -> None:
    subscribe(
        aws,
        webhook,
        FilterPolicyScope="MessageBody",
        FilterPolicy=json.dumps({"eventType": [{"anything-but": ["Send"]}]}),
    )
    aws.send()
    aws.events(2)
    (only,) = notifications(webhook, 1)
    assert json.loads(only["Message"])["eventType"] == "Delivery"


def test_subscription_attributes_and_removal(aws: Account, webhook: Webhook) -> None:
    arn = subscribe(aws, webhook)
    attributes = aws.sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert attributes["Endpoint"] == webhook.url
    assert attributes["PendingConfirmation"] == "false"
    assert attributes["ConfirmationWasAuthenticated"] == "true"
    aws.sns.set_subscription_attributes(
        SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    attributes = aws.sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert attributes["RawMessageDelivery"] == "true"
    aws.sns.unsubscribe(SubscriptionArn=arn)
    eventually(lambda: webhook.of_type("UnsubscribeConfirmation"))
    with pytest.raises(aws.sns.exceptions.NotFoundException):
        aws.sns.get_subscription_attributes(SubscriptionArn=arn)
    subscribed = aws.sns.list_subscriptions()["Subscriptions"]
    assert [s["Protocol"] for s in subscribed] == ["sqs"]


def test_only_loopback_can_be_subscribed(aws: Account) -> None:
    for url in ("http://example.com/sns", "https://127.0.0.1/x", "http://10.0.0.1/", "http://[/"):
        with pytest.raises(ClientError, match="loopback only"):
            aws.sns.subscribe(TopicArn=aws.simulator.topic_arn, Protocol="http", Endpoint=url)


def test_topics_are_made_read_and_deleted(aws: Account) -> None:
    created = aws.sns.create_topic(Name="own", Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    assert created == "arn:aws:sns:us-east-1:000000000000:own"
    assert aws.sns.list_tags_for_resource(ResourceArn=created)["Tags"] == [
        {"Key": "a", "Value": "b"}
    ]
    assert created in [t["TopicArn"] for t in aws.sns.list_topics()["Topics"]]
    policy = aws.sns.get_topic_attributes(TopicArn=created)["Attributes"]["Policy"]
    assert json.loads(policy)["Statement"][0]["Principal"] == {"Service": "ses.amazonaws.com"}
    aws.sns.delete_topic(TopicArn=created)
    with pytest.raises(aws.sns.exceptions.NotFoundException):
        aws.sns.get_topic_attributes(TopicArn=created)
    with pytest.raises(ClientError, match="TopicArn"):
        aws.sns.get_topic_attributes(TopicArn="arn:aws:sns:eu-west-1:000000000000:bes-events")


def test_new_event_destination_announces_itself_on_the_topic(aws: Account) -> None:
    topic = aws.sns.create_topic(Name="own")["TopicArn"]
    url = aws.sqs.create_queue(QueueName="own")["QueueUrl"]
    arn = "arn:aws:sqs:us-east-1:000000000000:own"
    aws.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    aws.ses.create_configuration_set(ConfigurationSetName="own")
    aws.ses.create_configuration_set_event_destination(
        ConfigurationSetName="own",
        EventDestinationName="sns",
        EventDestination={
            "Enabled": True,
            "MatchingEventTypes": ["BOUNCE"],
            "SnsDestination": {"TopicArn": topic},
        },
    )
    (message,) = aws.receive(url)
    assert json.loads(message["Body"])["Message"] == (
        "Successfully validated SNS topic for Amazon SES event publishing."
    )
    aws.send("bounce@simulator.amazonses.com", ConfigurationSetName="own")
    (message,) = aws.receive(url, wait=3)
    assert json.loads(json.loads(message["Body"])["Message"])["eventType"] == "Bounce"


def test_caller_identity_is_the_account_of_the_simulator(aws: Account) -> None:
    assert aws.sts.get_caller_identity()["Account"] == "000000000000"

"""A second opinion: what moto also knows is sent to both, and both must answer alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.simulator.conftest import Account

Clients = tuple[Any, Any, Any]


@pytest.fixture
def moto() -> Iterator[Clients]:
    """moto's SESv2, SQS and SNS in this process."""
    with mock_aws():
        session = boto3.Session("test", "test", region_name="us-east-1")
        clients = session.client("sesv2"), session.client("sqs"), session.client("sns")
        clients[0].create_email_identity(EmailIdentity="example.com")
        yield clients
        for client in clients:
            client.close()


def mime() -> bytes:
    message = EmailMessage()
    message["From"] = "news@example.com"
    message["To"] = "a@example.org"
    message["Subject"] = "s"
    message.set_content("t")
    return message.as_bytes()


SIMPLE = {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}}
WHO = {
    "FromEmailAddress": "news@example.com",
    "Destination": {"ToAddresses": ["a@example.org"]},
}
CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "send simple": lambda ses, sqs, sns: ses.send_email(**WHO, Content=SIMPLE),
    "send raw": lambda ses, sqs, sns: ses.send_email(**WHO, Content={"Raw": {"Data": mime()}}),
    "send to 51": lambda ses, sqs, sns: ses.send_email(
        FromEmailAddress="news@example.com",
        Destination={"ToAddresses": [f"r{n}@example.org" for n in range(51)]},
        Content=SIMPLE,
    ),
    "create set": lambda ses, sqs, sns: ses.create_configuration_set(ConfigurationSetName="own"),
    "get missing set": lambda ses, sqs, sns: ses.get_configuration_set(
        ConfigurationSetName="nowhere"
    ),
    "create domain": lambda ses, sqs, sns: ses.create_email_identity(EmailIdentity="example.net"),
    "create topic": lambda ses, sqs, sns: sns.create_topic(Name="own"),
    "missing topic": lambda ses, sqs, sns: sns.get_topic_attributes(
        TopicArn="arn:aws:sns:us-east-1:000000000000:nowhere"
    ),
    "create queue": lambda ses, sqs, sns: sqs.create_queue(QueueName="own"),
    "missing queue": lambda ses, sqs, sns: sqs.get_queue_url(QueueName="nowhere"),
}


def keys(answer: Any) -> Any:
    """Names in an answer, all the way down, without values that differ by nature."""
    if isinstance(answer, dict):
        return {k: keys(v) for k, v in answer.items() if k != "ResponseMetadata"}
    return type(answer).__name__


def outcome(call: Callable[[Any, Any, Any], Any], clients: Clients) -> Any:
    """The shape of an answer, or whether it was refused."""
    try:
        return keys(call(*clients))
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return f"refused {status // 100}xx"


@pytest.mark.parametrize("name", CALLS)
def test_call_ends_alike_in_moto(aws: Account, moto: Clients, name: str) -> None:
    ours = outcome(CALLS[name], (aws.ses, aws.sqs, aws.sns))
    theirs = outcome(CALLS[name], moto)
    if isinstance(theirs, dict) and isinstance(ours, dict):
        assert set(theirs) <= set(ours)
    else:
        assert ours == theirs


def round_trip(sqs: Any, sns: Any) -> tuple[set[str], dict[str, str], list[str]]:
    """Publish through a topic into a queue: envelope keys, its texts, and queue attributes."""
    topic = sns.create_topic(Name="round")["TopicArn"]
    url = sqs.create_queue(QueueName="round", Attributes={"VisibilityTimeout": "20"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
    sns.publish(TopicArn=topic, Message="hello", Subject="subject")
    (message,) = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=1, MessageSystemAttributeNames=["All"]
    )["Messages"]
    envelope = json.loads(message["Body"])
    texts = {key: envelope[key] for key in ("Type", "Message", "Subject", "TopicArn")}
    texts["TopicArn"] = texts["TopicArn"].rpartition(":")[2]
    hidden = sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    sqs.delete_message_batch(
        QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}]
    )
    sqs.send_message(QueueUrl=url, MessageBody="x")
    shown = sorted(set(message["Attributes"]) & {"ApproximateReceiveCount", "SentTimestamp"})
    return set(envelope), texts | hidden, shown


def test_topic_to_queue_round_trip_is_the_same_in_moto(aws: Account, moto: Clients) -> None:
    assert round_trip(aws.sqs, aws.sns) == round_trip(moto[1], moto[2])

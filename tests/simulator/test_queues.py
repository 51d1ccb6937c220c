"""The SQS side: long polls, visibility, batches, dead letters, attributes, tags."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.simulator.conftest import ONCE, Account, eventually


@pytest.fixture
def queue(aws: Account) -> str:
    """An empty queue of its own."""
    return str(aws.sqs.create_queue(QueueName="own", tags={"bes_install": "x"})["QueueUrl"])


def depth(aws: Account, url: str) -> tuple[int, int, int]:
    """Visible, in flight, delayed."""
    names = ["", "NotVisible", "Delayed"]
    answer = aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    visible, hidden, delayed = (int(answer[f"ApproximateNumberOfMessages{n}"]) for n in names)
    return visible, hidden, delayed


def receive(aws: Account, url: str, **options: Any) -> list[dict[str, Any]]:
    answer = aws.sqs.receive_message(QueueUrl=url, **options)
    return list(answer.get("Messages", []))


def test_message_is_hidden_while_in_flight_and_comes_back(aws: Account, queue: str) -> None:
    sent = aws.sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert depth(aws, queue) == (1, 0, 0)
    (message,) = receive(aws, queue, VisibilityTimeout=4, MessageSystemAttributeNames=["All"])
    assert message["MessageId"] == sent["MessageId"]
    assert message["MD5OfBody"] == hashlib.md5(b"hello").hexdigest()  # noqa: S324 - as SQS does
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert (depth(aws, queue), receive(aws, queue)) == ((0, 1, 0), [])
    (again,) = receive(aws, queue, WaitTimeSeconds=20, MessageSystemAttributeNames=["All"])
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again["ReceiptHandle"] != message["ReceiptHandle"]


def test_deleted_message_is_gone_and_an_old_handle_deletes_nothing(
    aws: Account, queue: str
) -> None:
    aws.sqs.send_message(QueueUrl=queue, MessageBody="hello")
    (first,) = receive(aws, queue, VisibilityTimeout=0)
    (second,) = receive(aws, queue)
    aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"])
    assert depth(aws, queue) == (0, 1, 0)
    aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"])
    aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=second["ReceiptHandle"])
    assert depth(aws, queue) == (0, 0, 0)


def test_message_can_be_deleted_after_its_visibility_ran_out(aws: Account, queue: str) -> None:
    aws.sqs.send_message(QueueUrl=queue, MessageBody="hello")
    (message,) = receive(aws, queue, VisibilityTimeout=0)
    assert depth(aws, queue) == (1, 0, 0)
    aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert depth(aws, queue) == (0, 0, 0)
    assert receive(aws, queue) == []


def test_long_poll_ends_as_soon_as_a_message_comes(aws: Account, queue: str) -> None:
    def send_later() -> None:
        time.sleep(0.2)
        aws.sqs.send_message(QueueUrl=queue, MessageBody="late")

    thread = threading.Thread(target=send_later)
    thread.start()
    started = time.monotonic()
    (message,) = receive(aws, queue, WaitTimeSeconds=20)
    assert message["Body"] == "late"
    assert 0.2 <= time.monotonic() - started < 20
    thread.join()


def test_long_poll_of_an_empty_queue_waits(aws: Account, queue: str) -> None:
    started = time.monotonic()
    assert receive(aws, queue, WaitTimeSeconds=1) == []
    assert time.monotonic() - started >= 1


def test_a_poller_that_went_away_takes_no_message_with_it(aws: Account, queue: str) -> None:
    hasty = Account(aws.simulator, config=ONCE.merge(Config(read_timeout=0.1)))
    with pytest.raises(ReadTimeoutError):
        receive(hasty, queue, WaitTimeSeconds=5)
    hasty.close()
    assert eventually(lambda: not aws.simulator.call(lambda: _pollers(aws, queue)))
    aws.sqs.send_message(QueueUrl=queue, MessageBody="kept")
    assert depth(aws, queue) == (1, 0, 0)


def _pollers(aws: Account, url: str) -> int:
    """How many wait for a message."""
    queues = aws.simulator.world.region("us-east-1").queues.values()
    return sum(len(one._arrival._waiters) for one in queues if url.endswith(f"/{one.name}"))


def test_visibility_can_be_changed_both_ways(aws: Account, queue: str) -> None:
    aws.sqs.send_message(QueueUrl=queue, MessageBody="hello")
    (message,) = receive(aws, queue, VisibilityTimeout=4)
    handle = message["ReceiptHandle"]
    aws.sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=60)
    time.sleep(4.05)
    assert depth(aws, queue) == (0, 1, 0)
    answer = aws.sqs.change_message_visibility_batch(
        QueueUrl=queue,
        Entries=[
            {"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 0},
            {"Id": "b", "ReceiptHandle": "nonsense", "VisibilityTimeout": 0},
        ],
    )
    assert [entry["Id"] for entry in answer["Successful"]] == ["a"]
    assert [entry["Id"] for entry in answer["Failed"]] == ["b"]
    assert depth(aws, queue) == (1, 0, 0)


def test_batches_answer_entry_by_entry(aws: Account, queue: str) -> None:
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(10)]
    answer = aws.sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert len(answer["Successful"]) == 10
    messages = receive(aws, queue, MaxNumberOfMessages=10)
    handles = [{"Id": m["Body"], "ReceiptHandle": m["ReceiptHandle"]} for m in messages]
    handles[3]["ReceiptHandle"] = "nonsense"
    answer = aws.sqs.delete_message_batch(QueueUrl=queue, Entries=handles)
    assert len(answer["Successful"]) == 9
    assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    with pytest.raises(aws.sqs.exceptions.TooManyEntriesInBatchRequest):
        aws.sqs.send_message_batch(
            QueueUrl=queue, Entries=[*entries, {"Id": "x", "MessageBody": "y"}]
        )


def test_delayed_message_counts_as_delayed_until_it_is_due(aws: Account, queue: str) -> None:
    aws.sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=1)
    assert depth(aws, queue) == (0, 0, 1)
    (message,) = receive(aws, queue, WaitTimeSeconds=3)
    assert message["Body"] == "later"


def test_message_received_too_often_goes_to_the_dead_letter_queue(aws: Account, queue: str) -> None:
    dead = str(aws.sqs.create_queue(QueueName="dead")["QueueUrl"])
    arn = "arn:aws:sqs:us-east-1:000000000000:dead"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "2"})
    aws.sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    sent = aws.sqs.send_message(QueueUrl=queue, MessageBody="poison")
    for _ in range(2):
        assert len(receive(aws, queue, VisibilityTimeout=0)) == 1
    assert receive(aws, queue) == []
    assert depth(aws, queue) == (0, 0, 0)
    (message,) = receive(aws, dead)
    assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "poison")
    assert aws.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [queue]


def test_default_queue_has_a_dead_letter_queue(aws: Account) -> None:
    answer = aws.sqs.get_queue_attributes(
        QueueUrl=aws.simulator.queue_url, AttributeNames=["RedrivePolicy", "QueueArn"]
    )["Attributes"]
    assert set(answer) == {"RedrivePolicy", "QueueArn"}
    name = json.loads(answer["RedrivePolicy"])["deadLetterTargetArn"].rpartition(":")[2]
    assert aws.sqs.get_queue_url(QueueName=name)["QueueUrl"].endswith(name)


def test_tags_of_a_queue(aws: Account, queue: str) -> None:
    assert aws.sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"bes_install": "x"}
    aws.sqs.tag_queue(QueueUrl=queue, Tags={"a": "b"})
    aws.sqs.untag_queue(QueueUrl=queue, TagKeys=["bes_install"])
    assert aws.sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"a": "b"}


def test_missing_queue_is_named_as_aws_names_it(aws: Account, queue: str) -> None:
    with pytest.raises(aws.sqs.exceptions.QueueDoesNotExist) as caught:
        aws.sqs.get_queue_url(QueueName="nowhere")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    aws.sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(aws.sqs.exceptions.QueueDoesNotExist):
        receive(aws, queue)


def test_purge_empties_and_too_long_bodies_are_refused(aws: Account, queue: str) -> None:
    aws.sqs.send_message(QueueUrl=queue, MessageBody="x")
    aws.sqs.purge_queue(QueueUrl=queue)
    assert depth(aws, queue) == (0, 0, 0)
    with pytest.raises(ClientError, match="too long"):
        aws.sqs.send_message(QueueUrl=queue, MessageBody="x" * 1_048_577)


def test_every_message_is_received_by_exactly_one_of_many_pollers(aws: Account, queue: str) -> None:
    for start in range(0, 200, 10):
        entries = [{"Id": str(n), "MessageBody": str(start + n)} for n in range(10)]
        aws.sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    seen: list[str] = []

    def poll() -> None:
        while messages := receive(aws, queue, MaxNumberOfMessages=10):
            seen.extend(message["Body"] for message in messages)

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, seen)) == list(range(200))


def test_event_published_to_a_raw_subscription_is_the_event_itself(
    aws: Account, queue: str
) -> None:
    arn = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    aws.sns.subscribe(
        TopicArn=aws.simulator.topic_arn,
        Protocol="sqs",
        Endpoint=arn["Attributes"]["QueueArn"],
        Attributes={"RawMessageDelivery": "true"},
    )
    aws.send()
    (raw, *_) = eventually(lambda: receive(aws, queue))
    assert json.loads(raw["Body"])["eventType"] == "Send"
    (wrapped, *_) = receive(aws, aws.simulator.queue_url)
    envelope = json.loads(wrapped["Body"])
    assert envelope["Type"] == "Notification"
    assert envelope["TopicArn"] == aws.simulator.topic_arn
    assert json.loads(envelope["Message"]) == json.loads(raw["Body"])

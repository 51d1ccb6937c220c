"""A simulator with events made fast, and the calls that its tests make most."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ses_simulator.outcomes import Mix
from ses_simulator.server import Simulator, start

SUCCESS = "success@simulator.amazonses.com"
_session = boto3.Session(
    aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
)
ONCE = Config(
    retries={"total_max_attempts": 1, "mode": "standard"}, read_timeout=60, connect_timeout=60
)


class Account:
    """boto3 clients of one simulator, and shorthands for what tests do with them."""

    def __init__(
        self, simulator: Simulator, region: str = "us-east-1", config: Config = ONCE
    ) -> None:
        self.simulator = simulator
        options: dict[str, Any] = {
            "endpoint_url": simulator.url,
            "region_name": region,
            "config": config,
        }
        self.ses: Any = _session.client("sesv2", **options)
        self.sqs: Any = _session.client("sqs", **options)
        self.sns: Any = _session.client("sns", **options)
        self.sts: Any = _session.client("sts", **options)

    def close(self) -> None:
        """Give the sockets back."""
        for client in (self.ses, self.sqs, self.sns, self.sts):
            client.close()

    def send(self, to: str = SUCCESS, **changes: Any) -> str:
        """Send a small mail; the message id."""
        call = {
            "FromEmailAddress": "News <news@example.com>",
            "Destination": {"ToAddresses": [to]},
            "Content": {
                "Simple": {
                    "Subject": {"Data": "Hello"},
                    "Body": {
                        "Html": {"Data": '<p><a href="https://example.com/a">read</a></p>'},
                        "Text": {"Data": "read"},
                    },
                }
            },
            "EmailTags": [{"Name": "bes_recipient", "Value": "17"}],
            "ConfigurationSetName": "bes",
        } | changes
        return str(self.ses.send_email(**call)["MessageId"])

    def events(self, count: int, timeout: float = 60.0) -> list[dict[str, Any]]:
        """The next `count` SES events of the default queue, deleted as they are read."""
        found: list[dict[str, Any]] = []
        end = time.monotonic() + timeout
        while len(found) < count and time.monotonic() < end:
            for message in self.receive():
                found.append(json.loads(json.loads(message["Body"])["Message"]))
        return found

    def receive(self, queue_url: str | None = None, wait: int = 1) -> list[dict[str, Any]]:
        """Up to ten messages, deleted as they are read."""
        url = queue_url or self.simulator.queue_url
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait
        )
        messages: list[dict[str, Any]] = list(answer.get("Messages", []))
        for message in messages:
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return messages

    def get(self, path: str) -> Any:
        """A JSON document under /_sim/."""
        return json.loads(fetch(self.simulator.url + path)[1])


def fetch(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Any:
    """Status, body and headers of a plain HTTP call."""
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


def eventually(condition: Callable[[], Any], timeout: float = 60.0) -> Any:
    """The first true value of the condition; its last one when time is up."""
    end = time.monotonic() + timeout
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


@pytest.fixture(scope="session")
def running() -> Iterator[Account]:
    """One simulator and its clients for all tests; making clients takes longer than most tests."""
    with start(event_speed=50, mix=Mix.all_delivered(), sns_retry_seconds=0.02) as simulator:
        account = Account(simulator)
        yield account
        account.close()


@pytest.fixture
def aws(running: Account) -> Account:
    """boto3 clients of a simulator as just started.

    Ordinary addresses all get their mail; events come within some 20 ms.
    """
    running.simulator.reset(keep_setup=False)
    return running

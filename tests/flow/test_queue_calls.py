"""Both ways of calling SQS do the same against the simulator's queue."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError

from aws.clients import AwsClients
from aws.queue_calls import BotoQueueCalls, SignedQueueCalls


@pytest.fixture
def clients(simulator, settings):
    return AwsClients(settings)


@pytest.fixture(params=["signed", "boto"])
def calls(request, clients):
    found = clients.queue_calls()
    assert isinstance(found, SignedQueueCalls)
    return found if request.param == "signed" else BotoQueueCalls(clients.sqs)


def test_messages_are_received_hidden_and_deleted(calls, clients, sqlite_url, settings):
    url = settings.sqs_queue_url
    for number in range(12):
        clients.sqs.send_message(QueueUrl=url, MessageBody=f"Grüße {number}")
    first, second = calls.receive(url, 0, 30), calls.receive(url, 0, 30)
    assert [len(first), len(second), calls.receive(url, 0, 30)] == [10, 2, []]
    assert first[0]["Body"] == "Grüße 0"
    assert calls.delete(url, [message["ReceiptHandle"] for message in first]) == []
    assert calls.delete(url, ["no such receipt"]) != []


def test_a_refusal_is_botocores_error(calls, simulator, settings):
    simulator.faults.deny = ["ReceiveMessage"]
    with pytest.raises(ClientError) as refused:
        calls.receive(settings.sqs_queue_url, 0, 30)
    assert refused.value.response["Error"]["Code"].startswith("AccessDenied")


def test_nobody_there_and_no_keys_are_botocores_errors():
    class Keys:
        def get_frozen_credentials(self):
            return self

        access_key = secret_key = "key"
        token = None

    options = {"endpoint_url": "http://127.0.0.1:9", "region": "us-east-1"}
    with pytest.raises(HTTPClientError):
        SignedQueueCalls(**options, credentials=Keys()).receive("url", 0, 30)
    with pytest.raises(NoCredentialsError):
        SignedQueueCalls(**options, credentials=None).receive("url", 0, 30)

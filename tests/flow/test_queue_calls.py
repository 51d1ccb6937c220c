"""Both ways of calling SQS do the same against the simulator's queue."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError

from aws.clients import AwsClients
from aws.queue_calls import BotoQueueCalls, SignedQueueCalls
from aws.signing import JsonSigner


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


@pytest.mark.parametrize("token", [None, "a session token"])
def test_a_call_is_signed_as_botocore_signs_it(token):
    keys = Credentials("AKIDEXAMPLE", "a secret", token).get_frozen_credentials()
    endpoint, target = "https://sqs.eu-west-1.amazonaws.com", "AmazonSQS.ReceiveMessage"
    body, moment = '{"text": "Grüße"}'.encode(), datetime(2026, 3, 2, 9, tzinfo=UTC)
    request = AWSRequest("POST", f"{endpoint}/", data=body)
    request.headers["Content-Type"] = "application/x-amz-json-1.0"
    request.headers["X-Amz-Target"] = target
    with patch("botocore.auth.get_current_datetime", lambda: moment.replace(tzinfo=None)):
        SigV4Auth(keys, "sqs", "eu-west-1").add_auth(request)
    signed = JsonSigner(endpoint, "eu-west-1", "sqs").headers(keys, "/", body, moment, target)
    assert signed["authorization"] == request.headers["Authorization"]
    assert signed["content-type"] == request.headers["Content-Type"]

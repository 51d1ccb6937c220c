"""The two SQS calls of the poller: over urllib3 where that covers the set-up, or boto3 itself.

A backlog is worked off ten messages a call, and boto3 spends four times the CPU of the call
itself. Both ways raise botocore's errors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import urllib3
from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError

from aws.signing import JsonSigner

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: The most messages that one call receives or deletes.
MOST_MESSAGES = 10
_CONNECT_SECONDS = 4.0
#: Beyond the time that a long poll waits.
_READ_SECONDS = 10.0
_CONNECTIONS = 32


class QueueCalls(Protocol):
    """Receive and delete, safe to use from many threads."""

    def receive(self, url: str, wait_seconds: int, visibility_seconds: int) -> list[Any]:
        """Up to ten messages, as SQS gives them."""

    def delete(self, url: str, receipts: Sequence[str]) -> list[str]:
        """Delete up to ten messages; the codes of those that were not deleted."""


def _receive_request(url: str, wait_seconds: int, visibility_seconds: int) -> dict[str, Any]:
    return {
        "QueueUrl": url,
        "MaxNumberOfMessages": MOST_MESSAGES,
        "WaitTimeSeconds": wait_seconds,
        "VisibilityTimeout": visibility_seconds,
    }


def _delete_request(url: str, receipts: Sequence[str]) -> dict[str, Any]:
    entries = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(receipts)]
    return {"QueueUrl": url, "Entries": entries}


class BotoQueueCalls:
    """The calls through a boto3 client."""

    def __init__(self, client: SQSClient) -> None:
        self._client = client

    def receive(self, url: str, wait_seconds: int, visibility_seconds: int) -> list[Any]:
        """See QueueCalls."""
        request = _receive_request(url, wait_seconds, visibility_seconds)
        return list(self._client.receive_message(**request).get("Messages", ()))

    def delete(self, url: str, receipts: Sequence[str]) -> list[str]:
        """See QueueCalls."""
        answer = self._client.delete_message_batch(**_delete_request(url, receipts))
        return [str(failed.get("Code")) for failed in answer.get("Failed", ())]


class SignedQueueCalls:
    """The calls in SQS's JSON protocol, signed by aws.signing, sent by urllib3.

    `credentials` is botocore's object (refreshing ones are asked at each call); `ca_bundle` a
    PEM file for https.
    """

    def __init__(
        self, *, endpoint_url: str, region: str, credentials: Any, ca_bundle: str | None = None
    ) -> None:
        self._path = urlsplit(endpoint_url).path.rstrip("/") + "/"
        self._signer = JsonSigner(endpoint_url, region, "sqs")
        self._credentials = credentials
        pools = urllib3.PoolManager(maxsize=_CONNECTIONS, ca_certs=ca_bundle)
        self._pool = pools.connection_from_url(endpoint_url)

    def receive(self, url: str, wait_seconds: int, visibility_seconds: int) -> list[Any]:
        """See QueueCalls."""
        request = _receive_request(url, wait_seconds, visibility_seconds)
        answer = self._call("ReceiveMessage", request, _READ_SECONDS + wait_seconds)
        return list(answer.get("Messages") or ())

    def delete(self, url: str, receipts: Sequence[str]) -> list[str]:
        """See QueueCalls."""
        request = _delete_request(url, receipts)
        answer = self._call("DeleteMessageBatch", request, _READ_SECONDS)
        return [str(failed.get("Code")) for failed in answer.get("Failed") or ()]

    def _call(self, operation: str, request: dict[str, Any], read_seconds: float) -> dict[str, Any]:
        body = json.dumps(request).encode()
        try:
            response = self._pool.urlopen(
                "POST",
                self._path,
                body=body,
                headers=self._sign(operation, body),
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read_seconds),
                retries=False,
                redirect=False,
            )
            answer = json.loads(response.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise HTTPClientError(error=error) from error
        if response.status == 200 and isinstance(answer, dict):
            return answer
        said = answer if isinstance(answer, dict) else {}
        code = str(said.get("__type") or response.status).rpartition("#")[2]
        message = str(said.get("message") or said.get("Message") or "")
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    def _sign(self, operation: str, body: bytes) -> dict[str, str]:
        keys = self._credentials and self._credentials.get_frozen_credentials()
        if not keys or not keys.access_key:
            raise NoCredentialsError
        signed = self._signer.headers(
            keys, self._path, body, datetime.now(UTC), f"AmazonSQS.{operation}"
        )
        return {"user-agent": "bulk-email-scheduler", **signed}

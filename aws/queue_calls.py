"""The two SQS calls of the poller: signed by hand where that covers the set-up, or boto3 itself.

A backlog is worked off ten messages a call, and boto3 spends four times the CPU of the call
itself; so requests are written to a connection in one piece. Both ways raise botocore's errors.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import time
import weakref
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, HTTPClientError, NoCredentialsError
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from aws.signing import JsonSigner

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: The most messages that one call receives or deletes.
MOST_MESSAGES = 10
_CONNECT_SECONDS = 4.0
#: Beyond the time that a long poll waits.
_READ_SECONDS = 10.0
#: A connection that rested longer may be closed by the other side at any moment. Seconds.
_MOST_IDLE = 15.0


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
    """The calls in SQS's JSON protocol, signed by aws.signing, over connections of urllib3.

    `credentials` is botocore's object (refreshing ones are asked at each call); `ca_bundle` a
    PEM file for https.
    """

    def __init__(
        self, *, endpoint_url: str, region: str, credentials: Any, ca_bundle: str | None = None
    ) -> None:
        self._parts = urlsplit(endpoint_url)
        self._path = self._parts.path.rstrip("/") + "/"
        self._signer = JsonSigner(endpoint_url, region, "sqs")
        self._credentials = credentials
        self._idle: deque[tuple[float, HTTPConnection]] = deque()
        weakref.finalize(self, _close, self._idle)
        secure = self._parts.scheme == "https"
        self._tls = ssl.create_default_context(cafile=ca_bundle) if secure else None

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
        data = self._head(operation, body) + body
        try:
            status, said = self._exchange(data, read_seconds)
            answer = json.loads(said)
        except (OSError, HTTPException, HTTPError, ValueError) as error:
            raise HTTPClientError(error=error) from error
        if status == 200 and isinstance(answer, dict):
            return answer
        problem = answer if isinstance(answer, dict) else {}
        code = str(problem.get("__type") or status).rpartition("#")[2]
        message = str(problem.get("message") or problem.get("Message") or "")
        raise ClientError({"Error": {"Code": code, "Message": message}}, operation)

    def _exchange(self, data: bytes, read_seconds: float) -> tuple[int, bytes]:
        """Write a request in one piece; the answer's status and body."""
        connection = self._connected()
        try:
            line = connection.sock
            line.settimeout(read_seconds)
            line.sendall(data)
            response = HTTPResponse(line, method="POST")
            response.begin()
            said = response.read()
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))
        return response.status, said

    def _connected(self) -> HTTPConnection:
        with contextlib.suppress(IndexError):  # no connection rests, or another thread took it
            while True:
                since, connection = self._idle.pop()
                if time.monotonic() - since < _MOST_IDLE and connection.is_connected:
                    return connection
                connection.close()
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is None:
            connection = HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        else:
            connection = HTTPSConnection(
                host, port, timeout=_CONNECT_SECONDS, ssl_context=self._tls
            )
        connection.connect()
        return connection

    def _head(self, operation: str, body: bytes) -> bytes:
        keys = self._credentials and self._credentials.get_frozen_credentials()
        if not keys or not keys.access_key:
            raise NoCredentialsError
        headers = self._signer.headers(
            keys, self._path, body, datetime.now(UTC), f"AmazonSQS.{operation}"
        )
        headers |= {
            "accept-encoding": "identity",
            "user-agent": "bulk-email-scheduler",
            "content-length": str(len(body)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self._path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def _close(idle: deque[tuple[float, HTTPConnection]]) -> None:
    for _, connection in idle:
        connection.close()

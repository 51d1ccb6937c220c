"""Two ways to make one SESv2 call, exactly once: signed and written by hand, or boto3 itself.

`SignedCalls` costs a fifth of boto3's CPU and knows to the byte whether anything was written;
urllib3 connects (names, proxies off, TLS), the standard library reads the answer.
`BotoCalls` is the fall-back for set-ups it does not cover (proxies). Both send the same body,
never try again, never follow a redirect, and raise the same two exceptions.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPResponse
from typing import Any, Protocol
from urllib.parse import urlsplit

import botocore.exceptions as boto_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError

from aws.signing import JsonSigner
from domain.send_outcomes import NotSubmitted, Outcome, OutcomeUnknown, Reply

#: Connect and read together, seconds (DESIGN "Fencing": a lease leaves room for it).
TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 4.0
#: A pooled connection that idled longer may be half dead: writing to it would put a mail in doubt.
MAX_IDLE_SECONDS = 5.0

#: operation -> path and the name of boto3's method
_OPERATIONS = {
    "SendEmail": ("/v2/email/outbound-emails", "send_email"),
    "SendBulkEmail": ("/v2/email/outbound-bulk-emails", "send_bulk_email"),
}
_NO_CREDENTIALS = (
    "There are no AWS credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the "
    "machine a role, then resume."
)
_TIMED_OUT = "SES did not answer in time; whether it took the mail is not known."
_LOST = "The connection broke before SES answered; whether it took the mail is not known."
_UNREADABLE = "The answer cannot be read; whether SES took the mail is not known."

Guard = Callable[[], bool]


class SesCalls(Protocol):
    """One call to SES, safe to use from many threads."""

    def call(self, operation: str, request: dict[str, Any], guard: Guard | None = None) -> Reply:
        """Make the call; raises NotSubmitted or OutcomeUnknown when no answer came.

        `guard` is asked last before the first byte; False means NotSubmitted.
        """

    def close(self) -> None:
        """Close pooled connections."""


def boot_clock() -> float:
    """Seconds on a clock that runs through suspend where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SignedCalls:
    """Calls signed by `JsonSigner` and written to urllib3 connections.

    `credentials` is botocore's object (refreshing ones are asked at each call); `ca_bundle` a
    PEM file for https. Connections are kept and used again, latest first.
    """

    def __init__(
        self,
        *,
        endpoint_url: str,
        region: str,
        credentials: Any,
        ca_bundle: str | None = None,
        user_agent: str = "bulk-email-scheduler",
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._endpoint = endpoint_url.rstrip("/")
        parts = urlsplit(self._endpoint)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._base_path = parts.path
        self._signer = JsonSigner(self._endpoint, region, "ses")
        self._credentials = credentials
        self._user_agent = user_agent
        self._timeout = timeout
        self._clock = clock
        self._idle: deque[tuple[float, HTTPConnection]] = deque()
        self._tls = ssl.create_default_context(cafile=ca_bundle) if self._secure else None

    def call(self, operation: str, request: dict[str, Any], guard: Guard | None = None) -> Reply:
        """See SesCalls."""
        body = json.dumps(request).encode()
        head = self._head(self._base_path + _OPERATIONS[operation][0], body)
        deadline = self._clock() + self._timeout
        connection = self._connected()
        if guard is not None and not guard():
            self._idle.append((self._clock(), connection))  # untouched: good for the next mail
            raise NotSubmitted("lease_over", "The time to send this mail was over.")
        try:
            reply = self._exchange(connection, head + body, deadline)
        except BaseException:
            connection.close()
            raise
        self._idle.append((self._clock(), connection))
        return reply

    def close(self) -> None:
        """See SesCalls."""
        while self._idle:
            with contextlib.suppress(IndexError):
                self._idle.pop()[1].close()

    def _head(self, path: str, body: bytes) -> bytes:
        """Request line and headers, signed; raises NotSubmitted without credentials."""
        try:
            keys = self._credentials and self._credentials.get_frozen_credentials()
        except boto_errors.BotoCoreError as error:
            raise NotSubmitted(
                "credentials_unreadable", f"The AWS credentials cannot be read just now: {error}"
            ) from error
        if not keys or not keys.access_key:
            raise NotSubmitted("credentials", _NO_CREDENTIALS, Outcome.STOP_CAMPAIGN)
        headers = self._signer.headers(keys, path, body, datetime.now(UTC))
        headers["accept-encoding"] = "identity"
        headers["user-agent"] = self._user_agent
        headers["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    def _connected(self) -> HTTPConnection:
        """A connection that stands; everything that goes wrong here is before the first byte."""
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if self._clock() - since <= MAX_IDLE_SECONDS and connection.is_connected:
                return connection
            connection.close()
        connection = self._new_connection()
        try:
            connection.connect()
        except Exception as error:
            connection.close()
            raise _not_connected(error, self._host) from error
        return connection

    def _new_connection(self) -> HTTPConnection:
        wait = min(CONNECT_SECONDS, self._timeout)
        if self._secure:
            return HTTPSConnection(self._host, self._port, timeout=wait, ssl_context=self._tls)
        return HTTPConnection(self._host, self._port, timeout=wait)

    def _exchange(self, connection: HTTPConnection, data: bytes, deadline: float) -> Reply:
        """Write the request and read the answer; from here on every trouble is unknown."""
        line = connection.sock
        try:
            line.settimeout(max(0.01, deadline - self._clock()))
            line.sendall(data)
            line.settimeout(max(0.01, deadline - self._clock()))
            response = HTTPResponse(line, method="POST")
            response.begin()
            body = response.read()
        except TimeoutError as error:
            raise OutcomeUnknown("timed_out", _TIMED_OUT) from error
        except Exception as error:
            raise OutcomeUnknown("connection_lost", _LOST) from error
        if response.will_close:
            connection.close()
        return _parse(response.status, response.headers.get("x-amzn-ErrorType", ""), body)


def _parse(status: int, error_type: str, data: bytes) -> Reply:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = None
    found = error_type or str((body or {}).get("__type") or (body or {}).get("code") or "")
    # "com.amazonaws.sesv2#MessageRejected" and "MessageRejected:http://…" are both in use.
    found = found.partition(":")[0].rpartition("#")[2]
    message = str((body or {}).get("message") or (body or {}).get("Message") or "")
    return Reply(status, found if status != 200 else "", message, body)


def _not_connected(error: Exception, host: str) -> NotSubmitted:
    cause = error.__cause__ or error
    if isinstance(error, NameResolutionError) or isinstance(cause, socket.gaierror):
        return NotSubmitted("dns_failed", f"The name {host} cannot be resolved just now.")
    if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return NotSubmitted(
            "tls_failed", f"No trusted TLS connection to {host}: {cause}. Nothing was sent."
        )
    return NotSubmitted(
        "connection_failed", f"{host} cannot be reached just now; nothing was sent."
    )


class BotoCalls:
    """The same calls through a boto3 SESv2 client made by `aws.clients` (no retries)."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def call(self, operation: str, request: dict[str, Any], guard: Guard | None = None) -> Reply:
        """See SesCalls; here `guard` is asked before boto3 begins, connecting included."""
        if guard is not None and not guard():
            raise NotSubmitted("lease_over", "The time to send this mail was over.")
        try:
            answer = getattr(self._client, _OPERATIONS[operation][1])(**request)
        except boto_errors.ClientError as error:
            return _from_client_error(error)
        except boto_errors.ParamValidationError as error:
            raise NotSubmitted("local_validation", f"boto3 refused the mail: {error}") from error
        except boto_errors.BotoCoreError as error:
            raise _from_boto(error) from error
        except Exception as error:
            # botocore's parsers stumble over answers that are not AWS's (tried: a JSON list).
            raise OutcomeUnknown("unreadable_answer", _UNREADABLE) from error
        answer.pop("ResponseMetadata", None)
        return Reply(200, body=answer)

    def close(self) -> None:
        """See SesCalls."""
        self._client.close()


def _from_client_error(error: boto_errors.ClientError) -> Reply:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = error.response.get("Error", {})
    code = str(said.get("Code", ""))
    # botocore puts the HTTP status where it found no error type.
    return Reply(status, "" if code.isdigit() else code, str(said.get("Message", "")))


def _from_boto(error: boto_errors.BotoCoreError) -> NotSubmitted | OutcomeUnknown:
    if isinstance(error, boto_errors.NoCredentialsError | boto_errors.PartialCredentialsError):
        return NotSubmitted("credentials", _NO_CREDENTIALS, Outcome.STOP_CAMPAIGN)
    if isinstance(error, boto_errors.CredentialRetrievalError | boto_errors.MetadataRetrievalError):
        return NotSubmitted(
            "credentials_unreadable", f"The AWS credentials cannot be read just now: {error}"
        )
    if isinstance(error, boto_errors.SSLError):
        # boto3 does not say whether the hand-shake or a later record failed; OpenSSL's words do.
        if any(sign in str(error) for sign in ("CERTIFICATE_VERIFY", "HANDSHAKE", "WRONG_VERSION")):
            return NotSubmitted("tls_failed", f"No trusted TLS connection: {error}")
        return OutcomeUnknown("connection_lost", _LOST)
    if isinstance(
        error,
        boto_errors.EndpointConnectionError
        | boto_errors.ConnectTimeoutError
        | boto_errors.ProxyConnectionError,
    ):
        return NotSubmitted("connection_failed", f"SES cannot be reached just now: {error}")
    if isinstance(error, boto_errors.ReadTimeoutError):
        return OutcomeUnknown("timed_out", _TIMED_OUT)
    return OutcomeUnknown("connection_lost", _LOST)

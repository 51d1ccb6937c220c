"""The hand-written HTTP server: whatever way the bytes come, each request has its answer."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.simulator.conftest import Account

GET = b"GET /_sim/%s HTTP/1.1\r\nHost: x\r\n\r\n"


def talk(aws: Account, *pieces: bytes, until: bytes = b"", pause: float = 0.0) -> bytes:
    """Send pieces over one connection; what comes back until it closes or `until` was seen."""
    parts = urlsplit(aws.simulator.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        answer = b""
        while not until or until not in answer:
            received = connection.recv(65_536)
            if not received:
                break
            answer += received
        return answer


def test_pipelined_requests_are_answered_in_order(aws: Account) -> None:
    aws.simulator.faults.latency_ms = 50
    slow = b"POST /v2/email/outbound-emails HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"
    answer = talk(aws, slow + GET % b"faults", until=b"webhook_down")
    assert answer.index(b"400 Bad Request") < answer.index(b"200 OK") < answer.index(b"latency_ms")


def test_request_may_come_byte_by_byte(aws: Account) -> None:
    request = b"PUT /_sim/faults HTTP/1.1\r\ncontent-length: 17\r\n\r\n" + b'{"latency_ms": 7}'
    answer = talk(aws, *(bytes([byte]) for byte in request), until=b'"webhook_down"', pause=0.001)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert aws.simulator.faults.latency_ms == 7


def test_connection_is_closed_where_the_client_wants_it(aws: Account) -> None:
    answer = talk(aws, b"GET /_sim/stats HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_client_that_waits_for_continue_gets_it(aws: Account) -> None:
    head = b"POST /_sim/faults HTTP/1.1\r\ncontent-length: 2\r\nExpect: 100-continue\r\n\r\n"
    answer = talk(aws, head, b"{}", until=b"webhook_down", pause=0.05)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_request_is_refused_and_closed(aws: Account, request_bytes: bytes) -> None:
    assert talk(aws, request_bytes).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", [b"/v2/email/outbound-emails", b"/v2/email/identities"])
def test_body_that_is_no_json_is_told_and_takes_nothing(aws: Account, path: bytes) -> None:
    head = b"POST %s HTTP/1.1\r\ncontent-length: 1\r\nConnection: close\r\n\r\n{" % path
    answer = talk(aws, head)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-amzn-errortype: SerializationException" in answer
    assert aws.get("/_sim/stats")["mails"] == 0

"""One call, one outcome: both ways to SES over real sockets, with everything that can break."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.credentials import Credentials

from aws.ses_calls import MAX_IDLE_SECONDS, BotoCalls, SesCalls, SignedCalls
from domain.outgoing import OutgoingEmail, make_sender
from email_service import EmailService, Outcome
from tests.raw_server import RawServer, accepted, answer, aws_error, raw, reset

MAIL = OutgoingEmail(
    sender=make_sender("news@example.com", "Zoë’s News", "answers@example.org"),
    to="ann@example.net",
    subject="Grüße, Ann",
    html="<p>Hello “Ann” \U0001f600</p>" + "x" * 15_000,
    text="Hello “Ann”",
    unsubscribe_url="https://mail.example.com/u/token",
    tags={"bes_install": "0123", "bes_attempt": "ab" * 16},
    configuration_set="bes",
)
Make = Callable[..., SesCalls]


def _signed(url: str, *, timeout: float = 60.0, token: str | None = None, **more: Any) -> SesCalls:
    return SignedCalls(
        endpoint_url=url,
        region="eu-central-1",
        credentials=Credentials("AKIAEXAMPLE", "secret", token),
        timeout=timeout,
        **more,
    )


def _boto(
    url: str, *, timeout: float = 60.0, token: str | None = None, ca_bundle: str | None = None
) -> SesCalls:
    session = botocore.session.Session()
    session.set_credentials("AKIAEXAMPLE", "secret", token)
    config = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=timeout,
        read_timeout=timeout,
        proxies={},
    )
    client = session.create_client(
        "sesv2", region_name="eu-central-1", endpoint_url=url, config=config, verify=ca_bundle
    )
    return BotoCalls(client)


@pytest.fixture(params=[_signed, _boto], ids=["signed", "boto3"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes calls in one of the two ways, and closes them at the end."""
    made: list[SesCalls] = []

    def make(url: str, **options: Any) -> SesCalls:
        made.append(request.param(url, **options))
        return made[-1]

    yield make
    for calls in made:
        calls.close()


@pytest.fixture
def server() -> Iterator[RawServer]:
    """A server that a test can make answer anything."""
    with RawServer() as server:
        yield server


def test_both_ways_put_the_same_request_on_the_wire(server: RawServer) -> None:
    for way in (_signed, _boto):
        calls = way(server.url, token="session-token")
        result = EmailService(calls).send(MAIL)
        assert (result.outcome, result.message_id) == (Outcome.ACCEPTED, "message-1")
        calls.close()
    ours, theirs = server.requests
    assert ours[0] == theirs[0] == "POST /v2/email/outbound-emails HTTP/1.1"
    assert ours[2] == theirs[2]
    for name in ("content-type", "content-length", "host", "x-amz-security-token"):
        assert ours[1][name] == theirs[1][name], name
    for _, headers, _ in server.requests:
        assert re.fullmatch(r"\d{8}T\d{6}Z", headers["x-amz-date"])
    signed = [re.search("SignedHeaders=([^,]+)", h["authorization"]) for _, h, _ in server.requests]
    assert [match and match[1] for match in signed] == [
        "content-type;host;x-amz-date;x-amz-security-token"
    ] * 2
    if ours[1]["x-amz-date"] == theirs[1]["x-amz-date"]:
        assert ours[1]["authorization"] == theirs[1]["authorization"]


def test_the_request_holds_the_whole_mail(make: Make, server: RawServer) -> None:
    EmailService(make(server.url)).send(MAIL)
    sent = json.loads(server.requests[0][2])
    assert sent["FromEmailAddress"].startswith("=?utf-8?")
    assert sent["FromEmailAddress"].endswith("<news@example.com>")
    assert sent["Destination"] == {"ToAddresses": ["ann@example.net"]}
    assert sent["ReplyToAddresses"] == ["answers@example.org"]
    assert sent["ConfigurationSetName"] == "bes"
    simple = sent["Content"]["Simple"]
    assert simple["Subject"] == {"Data": MAIL.subject, "Charset": "UTF-8"}
    assert simple["Body"]["Html"]["Data"] == MAIL.html
    assert simple["Body"]["Text"]["Data"] == MAIL.text
    assert simple["Headers"] == [
        {"Name": "List-Unsubscribe", "Value": "<https://mail.example.com/u/token>"},
        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
    ]
    assert {tag["Name"]: tag["Value"] for tag in sent["EmailTags"]} == MAIL.tags


def _close(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize(
    ("script", "outcome", "code"),
    [
        (_close, Outcome.UNKNOWN, "connection_lost"),
        (reset, Outcome.UNKNOWN, "connection_lost"),
        (raw(b"HTTP/1."), Outcome.UNKNOWN, None),
        (raw(b"\x00\xff garbage\r\n\r\n"), Outcome.UNKNOWN, None),
        (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"Mess'), Outcome.UNKNOWN,
         None),
        (answer("200 OK", '{"MessageId": "abc'), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("200 OK", "{}"), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("200 OK", "[]"), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("200 OK", '{"MessageId": ""}'), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("200 OK", "<html>Log in</html>"), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("204 No Content", ""), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("403 Forbidden", "<html>Proxy</html>"), Outcome.UNKNOWN, "unreadable_answer"),
        (answer("302 Found", "", {"Location": "/elsewhere"}), Outcome.UNKNOWN, "unreadable_answer"),
        (aws_error("500 Oops", "InternalFailure", "x"), Outcome.UNKNOWN, "server_error"),
        (aws_error("503 Slow", "ThrottlingException", "x"), Outcome.UNKNOWN, "server_error"),
        (answer("502 Bad Gateway", "<html>"), Outcome.UNKNOWN, "server_error"),
        (aws_error("429 Slow", "TooManyRequestsException", "Maximum sending rate exceeded."),
         Outcome.THROTTLED, "throttled"),
        (aws_error("400 Bad", "MessageRejected", "Bad content"), Outcome.REFUSED,
         "message_rejected"),
        (aws_error("400 Bad", "AccountSuspendedException:http://internal/", "no"),
         Outcome.STOP_ACCOUNT, "account_suspended"),
        (aws_error("403 No", "UnrecognizedClientException", "The token is invalid."),
         Outcome.STOP_CAMPAIGN, "credentials"),
    ],
)  # fmt: skip
def test_every_answer_has_its_outcome_and_is_asked_for_once(
    make: Make, server: RawServer, script: Any, outcome: Outcome, code: str | None
) -> None:
    server.script = script
    result = EmailService(make(server.url)).send(MAIL)
    assert result.outcome is outcome
    assert code is None or result.code == code  # None: the two ways see it differently
    assert result.reason
    assert len(server.requests) == 1


def test_a_connection_reset_after_the_first_byte_is_unknown(make: Make, server: RawServer) -> None:
    def read_one_byte(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    server.greeting = read_one_byte
    result = EmailService(make(server.url)).send(MAIL)
    assert result.outcome is Outcome.UNKNOWN
    assert server.connections == 1


def test_no_answer_in_time_is_unknown(make: Make, server: RawServer) -> None:
    server.script = lambda connection: time.sleep(1.5)
    result = EmailService(make(server.url, timeout=0.3)).send(MAIL)
    assert (result.outcome, result.code) == (Outcome.UNKNOWN, "timed_out")


def test_nobody_listening_is_not_submitted(make: Make) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        result = EmailService(make(url)).send(MAIL)
    assert (result.outcome, result.code) == (Outcome.NOT_SUBMITTED, "connection_failed")


def test_a_name_that_cannot_be_resolved_is_not_submitted(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_dns(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    calls = make("http://ses.example.com")
    monkeypatch.setattr(socket, "getaddrinfo", no_dns)
    result = EmailService(calls).send(MAIL)
    assert result.outcome is Outcome.NOT_SUBMITTED
    assert result.code in ("dns_failed", "connection_failed")


def test_a_server_that_speaks_no_tls_is_not_submitted(make: Make, server: RawServer) -> None:
    server.greeting = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    result = EmailService(make(server.url.replace("http:", "https:"))).send(MAIL)
    assert (result.outcome, result.code) == (Outcome.NOT_SUBMITTED, "tls_failed")
    assert server.requests == []


def test_an_untrusted_certificate_is_not_submitted(make: Make, certificate: Path) -> None:
    with RawServer(_tls(certificate)) as server:
        result = EmailService(make(server.url)).send(MAIL)
        assert (result.outcome, result.code) == (Outcome.NOT_SUBMITTED, "tls_failed")
        assert server.requests == []


def test_a_trusted_certificate_is_used(make: Make, certificate: Path) -> None:
    with RawServer(_tls(certificate)) as server:
        result = EmailService(make(server.url, ca_bundle=str(certificate))).send(MAIL)
        assert result.outcome is Outcome.ACCEPTED


def test_a_closed_guard_lets_no_byte_out(make: Make, server: RawServer) -> None:
    result = EmailService(make(server.url)).send(MAIL, lambda: False)
    assert (result.outcome, result.code) == (Outcome.NOT_SUBMITTED, "lease_over")
    assert server.requests == []


def test_a_mail_that_cannot_be_put_into_a_request_is_refused_without_a_call(
    make: Make, server: RawServer
) -> None:
    mail = OutgoingEmail(MAIL.sender, "a\r\nBcc: b@example.com", "s", "h", "t")
    result = EmailService(make(server.url)).send(mail)
    assert (result.outcome, result.code) == (Outcome.REFUSED, "unsendable")
    assert server.connections == 0


@pytest.mark.parametrize("keys", [None, Credentials("", "")])
def test_no_credentials_stop_the_campaign_before_any_call(server: RawServer, keys: Any) -> None:
    calls = SignedCalls(endpoint_url=server.url, region="eu-central-1", credentials=keys)
    result = EmailService(calls).send(MAIL)
    assert (result.outcome, result.code) == (Outcome.STOP_CAMPAIGN, "credentials")
    assert server.connections == 0


def test_a_connection_is_used_again_while_it_is_fresh(make: Make, server: RawServer) -> None:
    service = EmailService(make(server.url))
    assert [service.send(MAIL).outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
    assert server.connections == 1


def test_a_connection_that_idled_too_long_is_not_used_again(server: RawServer) -> None:
    times = [0.0]
    calls = _signed(server.url, clock=lambda: times[0])
    service = EmailService(calls)
    service.send(MAIL)
    times[0] = MAX_IDLE_SECONDS - 0.1
    service.send(MAIL)
    assert server.connections == 1
    times[0] += MAX_IDLE_SECONDS + 0.1
    assert service.send(MAIL).outcome is Outcome.ACCEPTED
    assert server.connections == 2
    calls.close()


def test_a_connection_the_server_has_closed_is_replaced_before_writing(
    make: Make, server: RawServer
) -> None:
    service = EmailService(make(server.url))
    service.send(MAIL)
    server.drop_connections()
    time.sleep(0.1)
    assert service.send(MAIL).outcome is Outcome.ACCEPTED
    assert len(server.requests) == 2


def test_an_answer_that_closes_the_connection_is_fine(make: Make, server: RawServer) -> None:
    server.script = answer("200 OK", '{"MessageId": "m"}', keep=False)
    service = EmailService(make(server.url))
    assert [service.send(MAIL).message_id for _ in range(2)] == ["m", "m"]
    assert server.connections == 2


def test_sixty_four_threads_share_one_service(make: Make, server: RawServer) -> None:
    def echo(connection: socket.socket) -> None:
        accepted()(connection)

    server.script = echo
    service = EmailService(make(server.url))
    mails = [
        OutgoingEmail(MAIL.sender, f"p{n}@example.net", f"Subject {n}", MAIL.html, MAIL.text)
        for n in range(320)
    ]
    with ThreadPoolExecutor(64) as pool:
        results = list(pool.map(service.send, mails))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    sent = [json.loads(body) for _, _, body in server.requests]
    pairs = {
        (one["Destination"]["ToAddresses"][0], one["Content"]["Simple"]["Subject"]["Data"])
        for one in sent
    }
    assert pairs == {(f"p{n}@example.net", f"Subject {n}") for n in range(320)}
    assert len(sent) == 320


def test_moto_accepts_the_same_call() -> None:
    # moto stands in for boto3's transport; the wire test above says that ours sends the same.
    from moto import mock_aws

    plain = replace(MAIL, sender=make_sender("news@example.com"))
    with mock_aws():
        calls = BotoCalls(
            botocore.session.Session().create_client(
                "sesv2",
                region_name="eu-central-1",
                aws_access_key_id="AKIAEXAMPLE",
                aws_secret_access_key="secret",
            )
        )
        refused = EmailService(calls).send(plain)
        calls._client.create_email_identity(EmailIdentity="news@example.com")
        taken = EmailService(calls).send(plain)
        calls.close()
    assert (refused.outcome, refused.code) == (Outcome.STOP_CAMPAIGN, "sender_not_verified")
    assert taken.outcome is Outcome.ACCEPTED


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key in one file, signed by nobody known."""
    from ipaddress import IPv4Address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context

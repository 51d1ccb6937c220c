"""SNS's certificates: few fetches, a bounded memory, and what verified something stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from domain.sns_messages import SnsMessage, parse_envelope
from domain.token_bucket import TokenBucket
from doors.certificates import (
    FETCH_BYTES,
    CertificateStore,
    FetchFailed,
    Problem,
    fetch_certificate,
)
from doors.refusals import Refusals
from tests.sns_signing import Signer, body


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Certificates by address; what is not there cannot be fetched."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}
        self.final = False
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.known:
            raise FetchFailed("not there", final=self.final)
        return self.known[url]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def store(clock: Clock, source: Source) -> CertificateStore:
    settings: Any = SimpleNamespace(sns_cert_dir="", uses_simulator=False, simulator_url="")
    return CertificateStore(settings, source, clock, choose=lambda waiting: waiting[-1])


def message(signer: Signer, number: int = 0, region: str = "us-east-1") -> SnsMessage:
    url = f"https://sns.{region}.amazonaws.com/SimpleNotificationService-{number:032x}.pem"
    topic = f"arn:aws:sns:{region}:000000000000:bes-events"
    return parse_envelope(body(signer.message(SigningCertURL=url, TopicArn=topic)))


def test_a_certificate_is_fetched_once(signer: Signer, store: CertificateStore, source: Source):
    wanted = message(signer)
    source.known[wanted.certificate_url] = signer.pem
    assert store.find(wanted) is store.find(wanted)
    assert source.asked == [wanted.certificate_url]


def test_a_failure_of_ours_is_tried_again_before_sns_does(
    signer: Signer, store: CertificateStore, source: Source, clock: Clock
) -> None:
    wanted = message(signer)
    assert store.find(wanted) is store.find(wanted) is Problem.NOT_NOW
    assert len(source.asked) == 1
    clock.now += 11
    source.known[wanted.certificate_url] = signer.pem
    assert not isinstance(store.find(wanted), Problem)


def test_what_sns_does_not_have_is_remembered_for_a_minute(
    signer: Signer, store: CertificateStore, source: Source, clock: Clock
) -> None:
    source.final = True
    wanted = message(signer)
    for _ in range(3):
        assert store.find(wanted) is Problem.NOT_ONE
        clock.now += 19
    assert len(source.asked) == 1
    clock.now += 10
    store.find(wanted)
    assert len(source.asked) == 2


def test_what_is_no_certificate_of_sns_is_refused(
    signer: Signer, store: CertificateStore, source: Source
) -> None:
    wanted = message(signer)
    source.known[wanted.certificate_url] = b"hello"
    assert store.find(wanted) is Problem.NOT_ONE


def test_a_flood_of_names_costs_five_fetches_and_then_one_every_five_seconds(
    signer: Signer, store: CertificateStore, source: Source, clock: Clock
) -> None:
    source.final = True
    for number in range(200):
        store.find(message(signer, number))
    assert len(source.asked) == 5
    for second in range(1, 21):
        clock.now += 1
        store.find(message(signer, 1000 + second))
    assert len(source.asked) == 9
    store.find(message(signer, 1, "eu-west-1"))
    assert len(source.asked) == 10


def test_a_flood_that_is_over_keeps_no_true_certificate_waiting(
    signer: Signer, store: CertificateStore, source: Source, clock: Clock
) -> None:
    source.final = True
    for number in range(200):
        store.find(message(signer, number))
    store._choose = lambda waiting: waiting[0]  # always the one that waits the longest
    clock.now += 60
    wanted = message(signer, 1000)
    source.known[wanted.certificate_url] = signer.pem
    assert not isinstance(store.find(wanted), Problem)


def test_a_certificate_that_verified_something_survives_a_flood(
    signer: Signer, store: CertificateStore, source: Source, clock: Clock
) -> None:
    good = message(signer)
    source.known[good.certificate_url] = signer.pem
    certificate = store.find(good)
    assert not isinstance(certificate, Problem)
    store.verified(good, certificate)
    source.final = True
    for number in range(1, 400):
        clock.now += 5
        store.find(message(signer, number))
    fetched = len(source.asked)
    assert store.find(good) is certificate
    assert len(source.asked) == fetched


def test_the_folder_is_asked_before_anything_is_fetched(
    signer: Signer, source: Source, clock: Clock, tmp_path: Any
) -> None:
    wanted = message(signer)
    (tmp_path / str(wanted.certificate_name)).write_bytes(signer.pem)
    settings: Any = SimpleNamespace(
        sns_cert_dir=str(tmp_path), uses_simulator=False, simulator_url=""
    )
    assert not isinstance(CertificateStore(settings, source, clock).find(wanted), Problem)
    assert source.asked == []


def test_fetching_from_nowhere_is_a_failure_of_ours() -> None:
    with pytest.raises(FetchFailed) as failure:
        fetch_certificate("http://127.0.0.1:9/SimpleNotificationService.pem")
    assert not failure.value.final


class _Answers(BaseHTTPRequestHandler):
    """Answers by path; what is asked is noted."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        status = {"/moved.pem": 302, "/gone.pem": 404, "/ill.pem": 500}.get(self.path, 200)
        size = {"/large.pem": FETCH_BYTES + 1, "/whole.pem": FETCH_BYTES}.get(self.path, 10)
        self.send_response(status)
        self.send_header("Location", "/whole.pem")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * size)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def there() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_certificate_is_small_and_stands_where_its_address_says(there: str) -> None:
    assert len(fetch_certificate(f"{there}/whole.pem")) == FETCH_BYTES
    _Answers.asked.clear()
    for name, final in (("large", True), ("moved", False), ("gone", True), ("ill", False)):
        with pytest.raises(FetchFailed) as failure:
            fetch_certificate(f"{there}/{name}.pem")
        assert failure.value.final is final
    assert "/whole.pem" not in _Answers.asked  # no redirect is followed


def test_refusals_are_counted_and_logged_once_a_minute(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals(clock)
    for _ in range(5):
        refusals.count("forged", "x")
    clock.now += 61
    refusals.count("forged", "y")
    assert refusals.totals() == {"forged": 6}
    assert [r.getMessage() for r in caplog.records] == [
        "1 posts not taken: forged (last: 'x')",
        "5 posts not taken: forged (last: 'y')",
    ]


def test_a_token_bucket_gives_its_rate_and_no_more() -> None:
    bucket = TokenBucket(10)
    taken = sum(bucket.take(now / 100) for now in range(301))
    assert 38 <= taken <= 41
    assert not TokenBucket(0).take(0.0)

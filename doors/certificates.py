"""SNS's signing certificates: from a folder, from the simulator, or fetched from SNS.

Whoever knows a topic's ARN can name any number of certificates, so fetches are few, the cache is
bounded, failures are remembered for a while, and a certificate that verified something is never
pushed out by one that did not.
"""

from __future__ import annotations

import http.client
import random
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from config import Settings
from domain.sns_messages import SigningCertificate, SnsMessage, load_certificate
from domain.token_bucket import TokenBucket

FETCH_SECONDS = 5.0
FETCH_BYTES = 16 * 1024
_FETCHES_AT_ONCE = 5
_FETCHES_PER_SECOND = 1 / 5
_MOST_TRUSTED = 64
_MOST_OTHERS = 256
_MOST_WAITING = 1000
#: SNS asks again every 20 s for what is still wanted; a name nobody asks for any more was made up.
_WANTED_SECONDS = 45.0


class Problem(StrEnum):
    """Why there is no certificate."""

    NOT_ONE = "certificate is not one of SNS"  # the sender's fault: refused
    NOT_NOW = "certificate not fetched yet"  # ours: SNS shall try again


#: SNS tries again every 20 s: our own trouble must be forgotten by then.
_REMEMBER_SECONDS = {Problem.NOT_ONE: 60.0, Problem.NOT_NOW: 10.0}


class FetchFailed(Exception):
    """The certificate could not be fetched; `final` if SNS says that there is none."""

    def __init__(self, sentence: str, *, final: bool) -> None:
        super().__init__(sentence)
        self.final = final


@dataclass(frozen=True, slots=True)
class _Known:
    found: SigningCertificate | Problem
    until: float  # monotonic seconds


class CertificateStore:
    """Certificates by file name; one store per process, safe for many threads."""

    def __init__(
        self,
        settings: Settings,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
        choose: Callable[[list[str]], str] = random.choice,
    ) -> None:
        self._folder = Path(settings.sns_cert_dir) if settings.sns_cert_dir else None
        self._simulator = settings.simulator_url if settings.uses_simulator else None
        self._fetch = fetch or fetch_certificate
        self._clock = clock
        self._choose = choose
        self._lock = threading.Lock()
        self._trusted: OrderedDict[str, SigningCertificate] = OrderedDict()
        self._others: OrderedDict[str, _Known] = OrderedDict()
        self._waiting: dict[str, dict[str, float]] = {}  # by region: asked for last
        self._slots: dict[str, TokenBucket] = {}
        self._fetching: set[str] = set()

    def find(self, message: SnsMessage) -> SigningCertificate | Problem:
        """The certificate that a message names; its address has been checked already."""
        name, url = message.certificate_name, message.certificate_url
        if name is None:
            return Problem.NOT_ONE
        with self._lock:
            known = self._known(url)
        if known is not None:
            return known
        from_folder = self._from_folder(name)
        if from_folder is not None:
            return self._remember(url, from_folder)
        chosen = self._turn(message.region or "", url)
        if chosen is None:
            return Problem.NOT_NOW
        self._fetch_now(chosen)
        with self._lock:
            return self._known(url) or Problem.NOT_NOW

    def verified(self, message: SnsMessage, certificate: SigningCertificate) -> None:
        """This certificate verified a message of an allowed topic: keep it."""
        url = message.certificate_url
        with self._lock:
            self._others.pop(url, None)
            self._trusted[url] = certificate
            self._trusted.move_to_end(url)
            while len(self._trusted) > _MOST_TRUSTED:
                self._trusted.popitem(last=False)

    def _known(self, url: str) -> SigningCertificate | Problem | None:
        if url in self._trusted:
            return self._trusted[url]
        entry = self._others.get(url)
        if entry is None:
            return None
        if self._clock() >= entry.until:
            del self._others[url]
            return None
        return entry.found

    def _from_folder(self, name: str) -> SigningCertificate | Problem | None:
        if self._folder is None:
            return None
        try:
            pem = (self._folder / name).read_bytes()
        except OSError:
            return None
        return load_certificate(pem[: FETCH_BYTES + 1]) or Problem.NOT_ONE

    def _remember(
        self, url: str, found: SigningCertificate | Problem
    ) -> SigningCertificate | Problem:
        lasts = _REMEMBER_SECONDS[found] if isinstance(found, Problem) else float("inf")
        until = self._clock() + lasts
        with self._lock:
            self._others[url] = _Known(found, until)
            while len(self._others) > _MOST_OTHERS:
                self._others.popitem(last=False)
        return found

    def _turn(self, region: str, url: str) -> str | None:
        """Which certificate this thread fetches: one of those waiting, at random, or none.

        At random, because a flood of made-up names must not keep the true one waiting.
        """
        with self._lock:
            now = self._clock()
            before = self._waiting.get(region, {})
            waiting = {one: at for one, at in before.items() if now - at < _WANTED_SECONDS}
            self._waiting[region] = waiting
            if len(waiting) >= _MOST_WAITING:
                del waiting[self._choose(list(waiting))]
            waiting[url] = now
            slots = self._slots.setdefault(
                region, TokenBucket(_FETCHES_PER_SECOND, _FETCHES_AT_ONCE)
            )
            if len(self._fetching) >= _FETCHES_AT_ONCE or not slots.take(now):
                return None
            chosen = self._choose(list(waiting))
            del waiting[chosen]
            self._fetching.add(chosen)
            return chosen

    def _fetch_now(self, url: str) -> None:
        try:
            if self._simulator is not None:
                name = url.rpartition("/")[2]
                pem = self._fetch(f"{self._simulator}/_sim/certificates/{name}")
            else:
                pem = self._fetch(url)
            found: SigningCertificate | Problem = load_certificate(pem) or Problem.NOT_ONE
        except FetchFailed as failure:
            found = Problem.NOT_ONE if failure.final else Problem.NOT_NOW
        finally:
            with self._lock:
                self._fetching.discard(url)
        self._remember(url, found)


def fetch_certificate(url: str) -> bytes:
    """GET a certificate: 5 s in all, 16 KB at most, no redirect; raises FetchFailed."""
    parts = urlsplit(url)
    deadline = time.monotonic() + FETCH_SECONDS
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            parts.netloc, timeout=FETCH_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=FETCH_SECONDS)
    try:
        connection.request("GET", parts.path)
        with connection.getresponse() as response:
            if response.status != 200:
                final = 400 <= response.status < 500
                raise FetchFailed(f"answer {response.status} for {url}", final=final)
            body = b""
            while len(body) <= FETCH_BYTES and (chunk := response.read1(FETCH_BYTES)):
                body += chunk
                if time.monotonic() > deadline:
                    raise FetchFailed(f"{url} was too slow", final=False)
    except (OSError, http.client.HTTPException) as error:
        raise FetchFailed(f"{url}: {error}", final=False) from error
    finally:
        connection.close()
    if len(body) > FETCH_BYTES:
        raise FetchFailed(f"{url} is too large", final=True)
    return body

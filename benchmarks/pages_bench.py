"""How fast pages are over a large campaign: server time of each, and what 50 open pages cost.

    python benchmarks/pages_bench.py [--database sqlite|postgresql|both]
                                     [--recipients 1000000] [--events 3000000]

Fills a fresh database (PostgreSQL: a throw-away server of its own) and asks for every page
through Flask's test client. Bars: 100 ms for every page, and less than a tenth of one core for
50 open pages that ask every two seconds while the campaign goes on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flask.testing import FlaskClient
from lxml import html as lxml_html
from sqlalchemy import select, update

from app import create_app
from benchmarks.installation import Installation, installation
from benchmarks.pages_load import Load, load
from config import Settings
from database import writing
from domain.statuses import CampaignStatus
from models import Campaign, CampaignCounters, User
from services import workers
from tests.postgres import PostgresServer, start_postgres
from web.auth import SignedIn

BAR_MS = 100.0
BAR_CORE = 0.10
_TIMES = 15
_OPEN_PAGES, _EVERY_SECONDS, _WATCH_SECONDS = 50, 2.0, 10.0


@contextmanager
def database(kind: str) -> Iterator[tuple[str, PostgresServer | None]]:
    """An empty database: its address, and the server if one was started for it."""
    if kind == "sqlite":
        yield "", None
        return
    server = start_postgres()
    try:
        server.execute("CREATE DATABASE pages")
        yield server.url("pages"), server
    finally:
        server.stop()


def browser(place: Installation) -> FlaskClient:
    """A browser of somebody who is signed in."""
    app = create_app(Settings.from_env(place.environment))
    now = datetime.now(UTC)
    with place.sessions() as session, writing(session):
        user = User(email="owner@example.com", session_key="0" * 32, created_at=now)
        user.password_hash = "-"  # noqa: S105 - nobody signs in with it
        session.add(user)
        session.flush()
        identity = SignedIn(user).get_id()
        workers.beat(session, "benchmark", "scheduler", {}, now)
    client = app.test_client()
    with client.session_transaction() as stored:
        stored["_user_id"] = identity
        stored["_fresh"] = True
    return client


def pages(client: FlaskClient, found: Load) -> Iterator[tuple[str, str]]:
    """Names and addresses of the pages; next and previous ones as the pages link them."""
    page = f"/campaigns/{found.campaign}"
    yield "dashboard", "/"
    yield "list of campaigns", "/campaigns/"
    yield "campaign", page
    states = ("pending", "sent", "delivered", "bounced", "skipped", "delayed", "failed",
              "complained", "in_doubt", "rejected")  # fmt: skip
    for state in states:
        yield f"recipients: {state}", f"{page}?state={state}"
    yield from _neighbours(client, "recipients", page)
    yield from _neighbours(client, "delivered", f"{page}?state=delivered")
    yield "recipients: far page", f"{page}?after={found.recipients - 100}"
    yield "delivered: far page", f"{page}?state=delivered&after={found.recipients - 100}"
    yield "search: whole address", f"{page}?q={found.address}"
    yield "search: start of address", f"{page}?q={found.prefix}"
    yield from _neighbours(client, "search: start", f"{page}?q={found.prefix}")
    yield "search: start, bounced", f"{page}?q={found.prefix}&state=bounced"
    yield "search: start, in doubt", f"{page}?q={found.prefix}&state=in_doubt"
    for domain in (*found.domains, "nobody.example"):
        yield f"search: @{domain}", f"{page}?q=@{domain}"
        yield f"search: @{domain}, failed", f"{page}?q=@{domain}&state=failed"
    yield "search: @start of domain", f"{page}?q=@domain4"
    yield from _neighbours(client, "search: @domain", f"{page}?q=@example.com")
    yield "timeline", f"{page}?r={found.recipient}"
    yield "notification log", "/notifications/"
    yield from _neighbours(client, "log", "/notifications/")
    yield "log: parked", "/notifications/?show=parked"
    yield "log: applied", "/notifications/?show=applied"
    yield "log: type", "/notifications/?type=Open"
    yield "log: type that is rare", "/notifications/?type=Complaint&door=sqs"
    yield "log: campaign", "/notifications/?campaign=1"
    yield "log: address", f"/notifications/?q={found.address}"
    yield "log: message id", f"/notifications/?q=m-{found.recipient:058x}"
    yield "suppression list", "/suppressions/"
    yield "suppressions: @domain", "/suppressions/?q=@example.com"
    yield "suppressions: @nobody", "/suppressions/?q=@nobody.example"
    yield "diagnostics' health", "/readyz"


def _neighbours(client: FlaskClient, name: str, address: str) -> Iterator[tuple[str, str]]:
    """The next page, and the previous page as the next one links it."""
    for label, words in (("next", ("Next", "Older")), ("previous", ("Back", "Newest"))):
        document = lxml_html.fromstring(client.get(address).get_data(as_text=True))
        links = [a.get("href") for a in document.xpath("//a") if a.text_content().strip() in words]
        if not links:
            raise SystemExit(f"{address} has no {label} page")
        address = links[-1].partition("#")[0]
        yield f"{name}: {label} page", address


def server_time(client: FlaskClient, address: str, **headers: str) -> tuple[float, float, int]:
    """Median and longest of some requests in milliseconds, and the status.

    Time in which other programs held the cores and this one had to wait is not counted.
    """
    status = client.get(address, headers=headers).status_code
    times = []
    for _ in range(_TIMES):
        begin, waited = time.perf_counter(), _waited()
        client.get(address, headers=headers)
        times.append(1e3 * (time.perf_counter() - begin - (_waited() - waited)))
        if sum(times) > 5000:
            break
    return statistics.median(times), max(times), status


def _waited() -> float:
    """Seconds that this thread was ready and had no core (Linux, proc(5))."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def report(name: str, client: FlaskClient, address: str, **headers: str) -> bool:
    """Measure one page and print its line; whether it holds the bar."""
    median, longest, status = server_time(client, address, **headers)
    good = median <= BAR_MS and status in (200, 304)
    mark = "" if good else "  <-- over the bar" if status in (200, 304) else f"  status {status}"
    print(f"{name:36s} {median:9.1f} {longest:9.1f}{mark}", flush=True)
    return good


def measure(place: Installation, found: Load, server: PostgresServer | None) -> bool:
    """Print the tables of one database; whether all bars hold."""
    client = browser(place)
    live = f"/campaigns/{found.campaign}/live"
    good = [report(name, client, address) for name, address in list(pages(client, found))]
    kept = client.application.config["LIVE_KEPT_SECONDS"]
    client.application.config["LIVE_KEPT_SECONDS"] = 0
    good.append(report("live part, made anew", client, live))
    etag = client.get(live).headers["ETag"]
    good.append(report("live part, made anew, 304", client, live, **{"If-None-Match": etag}))
    good.append(report("dashboard's live part", client, "/live"))
    client.application.config["LIVE_KEPT_SECONDS"] = kept
    etag = client.get(live).headers["ETag"]
    good.append(report("live part, kept, 304", client, live, **{"If-None-Match": etag}))
    share = watched(place, client, found, server)
    print(f"{_OPEN_PAGES} open pages of a running campaign: {100 * share:.1f} % of one core")
    with place.sessions() as session, writing(session):
        session.execute(update(Campaign).where(Campaign.id == found.campaign)
                        .values(status=CampaignStatus.DRAFT))  # fmt: skip
    page = f"/campaigns/{found.campaign}"
    for name in ("start", "schedule"):
        good.append(report(f"{name} (draft)", client, f"{page}/{name}"))
    good.append(report("campaign (draft)", client, page))
    return all(good) and share < BAR_CORE


def watched(
    place: Installation, client: FlaskClient, found: Load, server: PostgresServer | None
) -> float:
    """The share of a core that open pages cost while figures change five times a second."""
    pause = _EVERY_SECONDS / _OPEN_PAGES
    etags: dict[int, str] = {}
    cost, database_cost = 0.0, _cpu_of(server)
    begin = time.monotonic()
    for number in range(round(_WATCH_SECONDS / pause)):
        time.sleep(max(0.0, begin + number * pause - time.monotonic()))
        if number % 5 == 0:
            _one_more(place, found.campaign)
        headers = {"If-None-Match": etags.get(number % _OPEN_PAGES, ""), "X-Live": "1"}
        before = time.process_time()
        answer = client.get(f"/campaigns/{found.campaign}/live", headers=headers)
        cost += time.process_time() - before
        etags[number % _OPEN_PAGES] = answer.headers["ETag"]
    return (cost + _cpu_of(server) - database_cost) / (time.monotonic() - begin)


def _one_more(place: Installation, campaign: int) -> None:
    k = CampaignCounters
    with place.sessions() as session, writing(session):
        session.execute(update(k).where(k.campaign_id == campaign)
                        .values(pending=k.pending - 1, sent=k.sent + 1))  # fmt: skip


def _cpu_of(server: PostgresServer | None) -> float:
    """CPU seconds of the processes of a PostgreSQL server."""
    if server is None or server.process is None:
        return 0.0
    ticks, parent = 0, server.process.pid
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / 100.0


def main() -> int:
    """Fill, measure, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--recipients", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=3_000_000)
    options = parser.parse_args()
    kinds = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    verdicts: dict[str, Any] = {}
    for kind in kinds:
        with database(kind) as (url, server), installation("http://127.0.0.1:9", url) as place:
            begin = time.monotonic()
            found = load(place, options.recipients, options.events)
            with place.sessions() as session:
                assert session.scalar(select(CampaignCounters.total)) is not None
            print(f"\n{kind}: {found.recipients:,} recipients, {found.events:,} events, "
                  f"filled in {time.monotonic() - begin:.0f} s")  # fmt: skip
            print(f"{'page':36s} {'median ms':>9s} {'worst':>9s}")
            verdicts[kind] = measure(place, found, server)
    for kind, good in verdicts.items():
        print(f"{kind}: {'every bar holds' if good else 'NOT all bars hold'}")
    return 0 if all(verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

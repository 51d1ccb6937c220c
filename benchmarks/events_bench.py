"""How fast SES events become states, through both doors, with the bars beside the figures.

    python benchmarks/events_bench.py [--recipients 20000] [--posts 8000] [--postgresql URL]
        [--skip-sqs] [--skip-http] [--cold]
    python benchmarks/events_bench.py --backlog 200000

The queue is the simulator's, the webhook runs under gunicorn with really signed messages and 32
connections. The naive way (one transaction and one delete per event, one thread) runs in the
same minute as the baseline. Bars: the queue at least 2,500 events/s and 5 times naive; the
webhook at least 800/s with a 99th percentile of 100 ms, no 5xx, and the dashboard below 200 ms;
at most 1.5 KB of disk per recipient on SQLite. With --backlog a scheduler finds that many
three-hour-old events in the queue: all have to be applied, with flat memory.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sqlalchemy import func, select  # noqa: E402

from aws.clients import AwsClients  # noqa: E402
from benchmarks.events_load import (  # noqa: E402
    TOPIC,
    Signer,
    envelope,
    event_texts,
    family_figures,
    process_figures,
    sent_campaign,
)
from benchmarks.events_post import write_requests  # noqa: E402
from benchmarks.installation import Installation, installation  # noqa: E402
from config import Settings  # noqa: E402
from database import writing  # noqa: E402
from domain.statuses import EventStatus  # noqa: E402
from doors.queue_messages import read_message  # noqa: E402
from models import Event  # noqa: E402
from services.delivery_events import Incoming, store  # noqa: E402
from sns_handler import COLLECT_AFTER, SecondPoller, SqsPoller  # noqa: E402

_KINDS = ("Send", "Delivery", "Open")
_ADMIN = {"ADMIN_EMAIL": "owner@example.com", "ADMIN_PASSWORD": "a password for benchmarks"}
_CONNECTIONS = 32


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def simulator() -> Iterator[str]:
    """The simulator as a process of its own; its address."""
    port = free_port()
    command = [sys.executable, "-m", "ses_simulator", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--queue-limit", "2000000"], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        if process.stdout is not None:
            process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def stored(place: Installation) -> int:
    """Events in the database."""
    with place.sessions() as session:
        return session.scalar(select(func.count()).select_from(Event)) or 0


def fill(
    place: Installation, clients: AwsClients, url: str, size: int, hours_ago: float = 0
) -> int:
    """Put the events of a fresh campaign into the queue; how many."""
    campaign = sent_campaign(place, size)
    campaign = replace(campaign, at=campaign.at - timedelta(hours=hours_ago))
    filler = {"Signature": "s" * 344, "SigningCertURL": "c" * 100, "UnsubscribeURL": "u" * 180}
    batch: list[str] = []
    number = 0
    for text in event_texts(campaign, _KINDS):
        batch.append(json.dumps(envelope(text, number, campaign.at) | filler))
        number += 1
        if len(batch) == 10 or number == size * len(_KINDS):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(batch)]
            clients.sqs.send_message_batch(QueueUrl=url, Entries=entries)  # type: ignore[arg-type]
            batch.clear()
    return number


def naive(place: Installation, clients: AwsClients, url: str, install: str) -> None:
    """One thread, one transaction and one delete per event."""
    while True:
        answer = clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        messages = answer.get("Messages")
        if not messages:
            return
        for raw in messages:
            message = read_message(raw, (), install)
            with place.sessions() as session, writing(session):
                one = Incoming.of(message.text, message.events, "sqs", payload=message.payload)
                store(session, [one], datetime.now(UTC))
            clients.sqs.delete_message(QueueUrl=url, ReceiptHandle=message.receipt)


def queue_door(place: Installation, recipients: int) -> tuple[float, float, float]:
    """Events a second: the poller's, of its second half, and the naive way's.

    The poller is set up as a scheduler does it, with its second process and its collector.
    """
    settings = Settings.from_env(place.environment)
    clients = AwsClients(settings)
    url = settings.sqs_queue_url
    few = fill(place, clients, url, max(100, recipients // 40))
    begin = time.perf_counter()
    campaign = sent_campaign(place, 1)
    naive(place, clients, url, campaign.install)
    slow = few / (time.perf_counter() - begin)
    many = fill(place, clients, url, recipients)
    second = SecondPoller(place.environment)
    poller = SqsPoller(settings, place.sessions, clients, long_poll_seconds=1, second=second)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    stop = threading.Event()
    thread = threading.Thread(target=poller.run, args=(stop,))
    begin, cpu, half = time.perf_counter(), time.process_time(), (0.0, 0)
    thread.start()
    while (done := stored(place) - few) < many:
        if not half[1] and done > many / 2:
            half = (time.perf_counter(), done)
        time.sleep(0.25)
    end, cpu = time.perf_counter(), time.process_time() - cpu
    other = process_figures(second.pid)[0] if second.pid else 0.0
    print(f"  {many:,} events: CPU {cpu / many * 1e6:.0f} + {other / many * 1e6:.0f} µs each")
    stop.set()
    thread.join()
    return many / (end - begin), (many - half[1]) / (end - half[0]), slow


def backlog(place: Installation, events: int) -> bool:
    """A scheduler, with its second poller, works off what piled up; whether all went well."""
    settings = Settings.from_env(place.environment)
    clients = AwsClients(settings)
    url = settings.sqs_queue_url
    many = fill(place, clients, url, events // len(_KINDS), hours_ago=3)
    scheduler = place.scheduler()
    try:
        memory: list[float] = []
        while (done := stored(place)) < many:
            time.sleep(0.5)
            if done > many / 10:
                memory.append(family_figures(scheduler.pid)[1])
            elif not done:
                begin, cpu = time.perf_counter(), family_figures(scheduler.pid)[0]
        took = time.perf_counter() - begin
        cpu = family_figures(scheduler.pid)[0] - cpu
    finally:
        scheduler.terminate()
        scheduler.wait(30)
    with place.sessions() as session:
        query = select(func.count()).where(Event.status == EventStatus.APPLIED)
        applied = session.scalar(query) or 0
    print(
        f"  {many:,} events: {many / took:,.0f}/s, CPU {cpu / many * 1000:.2f} ms an event, "
        f"memory at most {max(memory):.0f} MB in all processes"
    )
    met = line("applied of them", f"{applied:,}", "all", applied == many)
    few = len(memory) // 4 or 1
    early, late = statistics.median(memory[:few]), statistics.median(memory[-few:])
    figure = f"{early:.0f} -> {late:.0f}"
    return met & line("MB, first and last quarter", figure, "<= +20 %", late <= early * 1.2)


@contextmanager
def gunicorn(place: Installation, folder: str) -> Iterator[tuple[int, int]]:
    """The application under gunicorn with its own configuration; its port and process id."""
    port = free_port()
    environment = {
        **os.environ, **place.environment, **_ADMIN, "PORT": str(port), "SNS_CERT_DIR": folder,
        "SNS_TOPIC_ARN": TOPIC, "SCHEDULER": "external", "FLASK_ENV": "production",
    }  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "app:create_app()"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_page(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def wait_for_page(port: int) -> None:
    """Return once the workers serve, or raise after half a minute."""
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/login")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("gunicorn does not answer")


def signed_in(port: int) -> str:
    """The cookie of a signed-in person."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/login")
    answer = connection.getresponse()
    page = answer.read().decode()
    cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    fields = {
        "email": _ADMIN["ADMIN_EMAIL"],
        "password": _ADMIN["ADMIN_PASSWORD"],
        "csrf_token": token.group(1) if token else "",
    }
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login", urlencode(fields), headers)
    answer = connection.getresponse()
    answer.read()
    return (answer.getheader("Set-Cookie") or cookie).partition(";")[0]


def open_dashboard(port: int, cookie: str, times: int) -> list[float]:
    """Open the dashboard, each time over a new connection; seconds of each."""
    seconds = []
    for _ in range(times):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        begin = time.perf_counter()
        connection.request("GET", "/", headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"the dashboard answered {answer.status}")
        seconds.append(time.perf_counter() - begin)
    return seconds


def watch_dashboard(port: int, stop: threading.Event, times: list[float]) -> None:
    """Open the dashboard twice a second, as people do meanwhile."""
    cookie = signed_in(port)
    while not stop.wait(0.5):
        times.extend(open_dashboard(port, cookie, 1))


def http_door(place: Installation, posts: int, *, cold: bool) -> bool:
    """Post signed messages over many connections; whether all bars were met."""
    with tempfile.TemporaryDirectory() as folder:
        signer = Signer(folder)
        campaign = sent_campaign(place, posts // len(_KINDS) + 1)
        requests = Path(folder) / "requests"
        texts = enumerate(event_texts(campaign, _KINDS))
        count = write_requests(
            requests, (signer.body(envelope(text, n, datetime.now(UTC))) for n, text in texts)
        )
        with gunicorn(place, folder) as (port, pid):
            pages: list[float] = []
            if not cold:
                open_dashboard(port, signed_in(port), 12)  # both workers have made it before
            stop = threading.Event()
            watcher = threading.Thread(target=watch_dashboard, args=(port, stop, pages))
            watcher.start()
            time.sleep(1)
            cpu = family_figures(pid)[0]
            command = [sys.executable, "benchmarks/events_post.py", str(port), str(requests)]
            done = subprocess.run(
                [*command, str(_CONNECTIONS)], cwd=ROOT, stdout=subprocess.PIPE, check=True
            )
            cpu = family_figures(pid)[0] - cpu
            stop.set()
            watcher.join()
    seconds, own, times, bad = json.loads(done.stdout)
    rate, p99, page = count / seconds, statistics.quantiles(times, n=100)[98], max(pages) * 1000
    print(
        f"  {count:,} posts: CPU {cpu / count * 1000:.2f} ms each, {own / count * 1000:.2f} "
        f"of whoever posts; median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms; "
        f"dashboards, ms: {', '.join(f'{one * 1000:.0f}' for one in sorted(pages))}"
    )
    met = line("webhook, posts/s", f"{rate:,.0f}", ">= 800", rate >= 800)
    met &= line("webhook, p99 ms", f"{p99:,.0f}", "<= 100", p99 <= 100)
    met &= line("answers that were not 200", f"{len(bad)}", "0", not bad)
    return met & line("slowest dashboard meanwhile, ms", f"{page:,.0f}", "<= 200", page <= 200)


def disk_per_recipient(place: Installation, recipients: int) -> float | None:
    """Bytes of the SQLite file per recipient; None on PostgreSQL."""
    path = place.environment["DATABASE_URL"].partition(":///")[2]
    if not place.environment["DATABASE_URL"].startswith("sqlite"):
        return None
    with place.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return Path(path).stat().st_size / recipients


def line(what: str, figure: str, bar: str, met: bool) -> bool:
    """One line of the table; whether the bar was met."""
    print(f"  {what:34s} {figure:>14s}   {bar:22s} {'met' if met else 'MISSED'}", flush=True)
    return met


def run(database: str, options: argparse.Namespace) -> bool:
    """All figures of one database; whether every bar was met."""
    met = True
    if options.backlog:
        with simulator() as url, installation(url, database) as place:
            return backlog(place, options.backlog)
    if not options.skip_sqs:
        with simulator() as url, installation(url, database) as place:
            fast, later, slow = queue_door(place, options.recipients)
            met &= line("queue, events/s", f"{fast:,.0f}", ">= 2,500", fast >= 2500)
            print(f"  the second half of them, by both processes: {later:,.0f}/s")
            ratio = fast / slow
            met &= line(f"times naive ({slow:,.0f}/s)", f"{ratio:.1f}", ">= 5", ratio >= 5)
            size = disk_per_recipient(
                place, options.recipients + max(100, options.recipients // 40)
            )
            if size is not None:
                met &= line("disk per recipient, bytes", f"{size:,.0f}", "<= 1,536", size <= 1536)
    if not options.skip_http:
        with simulator() as url, installation(url, database) as place:
            met &= http_door(place, options.posts, cold=options.cold)
    return met


def main() -> int:
    """Run everything; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--posts", type=int, default=8000)
    parser.add_argument("--postgresql", default="", help="an empty PostgreSQL database as well")
    parser.add_argument("--backlog", type=int, default=0, metavar="EVENTS")
    parser.add_argument("--cold", action="store_true", help="post right after the start")
    parser.add_argument("--skip-sqs", action="store_true")
    parser.add_argument("--skip-http", action="store_true")
    options = parser.parse_args()
    met = True
    for name, database in (("SQLite", ""), ("PostgreSQL", options.postgresql)):
        if name == "SQLite" or database:
            print(f"{name}, commits to disk, {os.cpu_count()} cores")
            met &= run(database, options)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

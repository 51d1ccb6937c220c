"""How fast mails leave: the naive loop, a pool of boto3 threads, and ours, side by side.

    python benchmarks/send_bench.py [--mails 4000] [--database sqlite|postgresql|both]

The simulator answers after 60 ms. Ours does everything (claim, suppression check, rendering,
signing, sending, recording with synchronous commits) in as many sender processes as the product
starts on such a host; the others only send a mail that was made before. Ours is measured from the
first tenth of the mails on, without the start.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aws.clients import AwsClients
from benchmarks.installation import Installation, installation
from config import Settings
from database import make_engine
from domain.outgoing import OutgoingEmail, make_sender, send_email_request
from domain.text_part import text_from_html
from scheduler import Scheduler
from ses_simulator.server import Simulator, start
from tests.postgres import start_postgres

_ANSWER_MS = 60.0
#: As many sender processes as the product starts on such a host.
_SENDERS = min(2, os.cpu_count() or 1)
_SECTION = (
    "<tr><td style='padding:16px;font:15px/1.5 Arial'><h2>News of the day</h2><p>{}</p>"
    "<p><a href='https://example.com/news'>Read on</a></p></td></tr>"
)
_LINE = "Something has happened that is worth a sentence or two in a letter to our readers. " * 14
#: About 15 KB, with the reader's name in a dozen places.
_HTML = (
    "<html><body><p>Hello {{ name }}</p><table>"
    + "".join(_SECTION.format(f"{{{{ name }}}}, {_LINE}") for _ in range(11)) + "</table>"
    "<p><a href='{{ unsubscribe_url }}'>Unsubscribe</a></p></body></html>"
)  # fmt: skip
_SINGLE, _CALLS = "single", "bulk"
_WAYS = {_SINGLE: "ours, single", _CALLS: "ours, bulk"}


@dataclass(frozen=True)
class Figures:
    """One line of the table: mails a second, and CPU per mail in milliseconds."""

    rate: float
    cpu_ms: float
    ledger_us: float | None = None  # the thread that claims and records, Python included
    server_us: float | None = None  # the PostgreSQL server


def baseline(environment: dict[str, str], mails: int, threads: int) -> Figures:
    """A process with a loop or a pool of boto3 threads that only sends."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=plain_process, args=(environment, mails, threads, there))
    process.start()
    seconds, cpu = here.recv()
    process.join()
    return Figures(mails / seconds, 1e3 * cpu / mails)


def plain_process(environment: dict[str, str], mails: int, threads: int, line: Connection) -> None:
    """Send so many mails with boto3; tells seconds and CPU seconds, start left out."""
    clients = AwsClients(Settings.from_env(environment))
    sender = make_sender("news@example.com")
    html = _HTML.replace("{{ unsubscribe_url }}", "https://example.com/u")
    text = text_from_html(html)

    def send(number: int) -> None:
        name = f"Person {number}"
        mail = OutgoingEmail(
            sender, f"person{number}@example.com", f"News for {name}",
            html.replace("{{ name }}", name), text.replace("{{ name }}", name),
        )  # fmt: skip
        request: dict[str, Any] = send_email_request(mail)
        clients.ses.send_email(**request)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(send, range(threads)))  # connections and boto3's first call
        cpu, began = time.process_time(), time.monotonic()
        list(pool.map(send, range(mails)))
    line.send((time.monotonic() - began, time.process_time() - cpu))


def sender_process(environment: dict[str, str], line: Connection) -> None:
    """A process that only sends; says its CPU seconds (all, ledger thread) when asked."""
    settings = Settings.from_env(environment)
    scheduler = Scheduler(settings, make_engine(settings.database_url), only_sends=True)
    scheduler.start()
    (ledger,) = [thread for thread in scheduler._threads if thread.name == "sender"]
    clock = time.pthread_getcpuclockid(ledger.ident or 0)
    line.send("ready")
    while line.recv():
        line.send((time.process_time(), time.clock_gettime(clock)))
    scheduler.end()


def ours(simulator: Simulator, mails: int, way: str, database_url: str) -> Figures:
    """The sender processes of one host with a whole campaign."""
    context = multiprocessing.get_context("spawn")
    with installation(simulator.url, database_url) as place:
        environment = place.environment | {
            "MAX_EMAILS_PER_SECOND": "10000",
            "SES_SEND_API": way,
            "SES_BULK_CALLS_PER_SECOND": "200",
        }
        lines, processes = [], []
        for _ in range(_SENDERS):
            here, there = context.Pipe()
            process = context.Process(target=sender_process, args=(environment, there))
            process.start()
            lines.append(here)
            processes.append(process)
        for line in lines:
            line.recv()
        simulator.outbox.clear()
        place.campaign(mails, _HTML)
        first = _reading(simulator, lines, place, mails // 10)
        last = _reading(simulator, lines, place, mails)
        for line, process in zip(lines, processes, strict=True):
            line.send(False)
            process.join()
    sent = last[0] - first[0]
    seconds, cpu, ledger, server = (b - a for a, b in zip(first[1:], last[1:], strict=True))
    return Figures(
        sent / seconds, 1e3 * cpu / sent, 1e6 * ledger / sent, 1e6 * server / sent or None
    )


def _reading(
    simulator: Simulator, lines: list[Connection], place: Installation, mails: int
) -> tuple[int, float, float, float, float]:
    """Mails, time and CPU seconds (senders, ledger threads, database server) at so many mails."""
    while simulator.outbox.total < mails:
        time.sleep(0.01)
    for line in lines:
        line.send(True)
    cpu, ledger = map(sum, zip(*(line.recv() for line in lines), strict=True))
    return simulator.outbox.total, time.monotonic(), cpu, ledger, _server_cpu(place)


def _server_cpu(place: Installation) -> float:
    """CPU seconds of the PostgreSQL processes that serve this database; 0 on SQLite."""
    if place.engine.dialect.name == "sqlite":
        return 0.0
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    with place.engine.connect() as connection:
        pids = connection.exec_driver_sql(query).scalars().all()
    seconds = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


@contextmanager
def database(kind: str) -> Iterator[str]:
    """An empty database of this kind: its address, empty for a SQLite file."""
    if kind == "sqlite":
        yield ""
        return
    server = start_postgres(durable=True)
    try:
        server.execute("CREATE DATABASE sending")
        yield server.url("sending")
    finally:
        server.stop()


def row(name: str, kind: str, run: Callable[[], Figures]) -> Figures:
    """Run one way and print its line."""
    found = run()
    ledger = f"{found.ledger_us:9.0f}" if found.ledger_us is not None else f"{'':9s}"
    server = f"{found.server_us:9.0f}" if found.server_us is not None else ""
    line = f"{name:20s} {kind:12s} {found.rate:9.0f} {found.cpu_ms:9.2f} {ledger} {server}"
    print(line.rstrip(), flush=True)
    return found


def verdicts(naive: Figures, pool: Figures, found: dict[tuple[str, str], Figures]) -> None:
    """Each bar with what was measured."""
    print()
    for (way, kind), figures in found.items():
        times = pool.cpu_ms / figures.cpu_ms
        bar, rate = (1.6, 1000) if way == _SINGLE else (6.0, 4000)
        _verdict(f"{_WAYS[way]}, {kind}: {times:.1f} x the pool per CPU second", bar, times)
        _verdict(f"{_WAYS[way]}, {kind}: {figures.rate:,.0f} mails/s", rate, figures.rate)
        if way == _CALLS:
            loop = figures.rate / naive.rate
            _verdict(f"{_WAYS[way]}, {kind}: {loop:,.0f} x the naive loop", 200, loop)


def _verdict(sentence: str, bar: float, value: float) -> None:
    print(f"{'reached' if value >= bar else 'MISSED ':8s} {sentence} (bar {bar:g})")


def main() -> int:
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mails", type=int, default=4000)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    options = parser.parse_args()
    kinds = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    load = os.getloadavg()[0]
    print(f"answers after {_ANSWER_MS:g} ms, {len(_HTML) / 1000:.0f} KB of HTML and its text,")
    print("SQLite with synchronous=FULL, PostgreSQL with fsync=on and synchronous_commit=on,")
    print(f"{_SENDERS} sender processes, {os.cpu_count()} cores with a load of {load:.1f} before")
    print(f"{'way':20s} {'database':12s} {'mails/s':>9s} {'CPU ms':>9s} ledger µs server µs")
    found: dict[tuple[str, str], Figures] = {}
    with start(port=0, keep=100) as simulator:
        simulator.faults.latency_ms = _ANSWER_MS
        simulator.faults.lose_events = 1.0
        environment = {
            "SECRET_KEY": "a key for benchmarks of more than thirty-two characters",
            "EMAIL_BACKEND": "simulator",
            "SIMULATOR_PORT": simulator.url.rpartition(":")[2],
        }
        naive = row("naive loop", "none", lambda: baseline(environment, 50, 1))
        few = min(options.mails, 2000)
        pool = row("boto3, 64 threads", "none", lambda: baseline(environment, few, 64))
        for kind in kinds:
            with database(kind) as url:
                for way, name in _WAYS.items():
                    mails = options.mails * (4 if way == _CALLS else 1)
                    run = partial(ours, simulator, mails, way, url)
                    found[way, kind] = row(name, kind, run)
    verdicts(naive, pool, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

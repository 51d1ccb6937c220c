"""How fast mails leave: the naive loop, a pool of boto3 threads, and ours, side by side.

    python benchmarks/send_bench.py [--mails 4000] [--database sqlite|postgresql|both]

The simulator answers after 60 ms. Ours does everything (claim, suppression check, rendering,
signing, sending, recording with synchronous commits) in as many sender processes as the product
starts on such a host; the others only send a mail that was made before. Ours is measured from the
first tenth of the mails on, without the start. "Ledger" is the thread that claims, marks and
records, Python included; the database's share is that thread and the PostgreSQL server.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aws.clients import AwsClients
from benchmarks.installation import Installation, installation
from benchmarks.send_steps import STEPS, Steps
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
#: The most microseconds of processor that the database may take of a mail.
_SHARE = {"sqlite": 80.0, "postgresql": 120.0}
_WAYS = {_SINGLE: "ours, single", _CALLS: "ours, bulk"}


@dataclass(frozen=True)
class Figures:
    """One line of the table: mails a second, and CPU per mail in milliseconds."""

    rate: float
    cpu_ms: float
    ledger_us: float | None = None  # the thread that claims and records, Python included
    server_us: float | None = None  # the PostgreSQL server
    simulator_us: float | None = None  # the simulator, which shares the cores
    idle: float = 0.0  # share of the cores that nothing used
    steps_us: dict[str, float] = field(default_factory=dict)


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
    steps = Steps()
    settings = Settings.from_env(environment)
    scheduler = Scheduler(settings, make_engine(settings.database_url), only_sends=True)
    scheduler.start()
    (ledger,) = [thread for thread in scheduler._threads if thread.name == "sender"]
    clock = time.pthread_getcpuclockid(ledger.ident or 0)
    line.send("ready")
    while line.recv():
        line.send((time.process_time(), time.clock_gettime(clock), steps.seconds()))
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
    sent = last.sent - first.sent
    steps = {step: 1e6 * (last.steps[step] - first.steps[step]) / sent for step in last.steps}
    server = last.server - first.server
    seconds = last.at - first.at
    return Figures(
        rate=sent / seconds,
        cpu_ms=1e3 * (last.cpu - first.cpu) / sent,
        ledger_us=1e6 * (last.ledger - first.ledger) / sent,
        server_us=1e6 * server / sent or None,
        simulator_us=1e6 * (last.simulator - first.simulator) / sent,
        idle=(last.idle - first.idle) / seconds / (os.cpu_count() or 1),
        steps_us=steps,
    )


@dataclass(frozen=True)
class Reading:
    """The clocks at so many mails: processor seconds, but for `at`."""

    sent: int
    at: float
    cpu: float  # of the sender processes
    ledger: float
    steps: Counter[str]
    server: float
    simulator: float
    idle: float  # of the whole machine


def _reading(
    simulator: Simulator, lines: list[Connection], place: Installation, mails: int
) -> Reading:
    while simulator.outbox.total < mails:
        time.sleep(0.01)
    for line in lines:
        line.send(True)
    told = [line.recv() for line in lines]
    steps: Counter[str] = Counter()
    for _, _, one in told:
        steps.update(one)
    idle = int(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")
    return Reading(
        simulator.outbox.total, time.monotonic(), sum(cpu for cpu, _, _ in told),
        sum(ledger for _, ledger, _ in told), steps, _server_cpu(place), time.process_time(), idle,
    )  # fmt: skip


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
    shown = (found.ledger_us, found.server_us, found.simulator_us)
    more = " ".join(f"{us:9.0f}" if us is not None else f"{'':9s}" for us in shown)
    idle = f"{found.idle:6.0%}" if found.steps_us else ""
    line = f"{name:20s} {kind:12s} {found.rate:9.0f} {found.cpu_ms:9.2f} {more} {idle}"
    print(line.rstrip(), flush=True)
    return found


def split(found: dict[tuple[str, str], Figures]) -> None:
    """Print processor time per mail by step; what is left is waiting threads and hand-over."""
    print()
    print(f"{'µs of processor a mail':42s}", *(f"{w} {k}".rjust(17) for w, k in found))
    for step in STEPS:
        print(f"{step:42s}", *(f"{f.steps_us.get(step, 0.0):17.0f}" for f in found.values()))
    rest = (1e3 * f.cpu_ms - sum(f.steps_us.values()) for f in found.values())
    print(f"{'the rest: threads, hand-over, beats':42s}", *(f"{us:17.0f}" for us in rest))


def verdicts(naive: Figures, pool: Figures, found: dict[tuple[str, str], Figures]) -> None:
    """Each bar with what was measured."""
    print()
    for (way, kind), figures in found.items():
        times = pool.cpu_ms / figures.cpu_ms
        bar, rate = (1.6, 1000) if way == _SINGLE else (6.0, 4000)
        _verdict(f"{_WAYS[way]}, {kind}: {times:.1f} x the pool per CPU second", bar, times)
        _verdict(f"{_WAYS[way]}, {kind}: {figures.rate:,.0f} mails/s", rate, figures.rate)
        share, most = (figures.ledger_us or 0) + (figures.server_us or 0), _SHARE[kind]
        of = "ledger thread and server" if figures.server_us else "ledger thread"
        sentence = f"{_WAYS[way]}, {kind}: {share:.0f} µs a mail for the database ({of})"
        _verdict(sentence, -most, -share)
        if way == _CALLS:
            loop = figures.rate / naive.rate
            _verdict(f"{_WAYS[way]}, {kind}: {loop:,.0f} x the naive loop", 200, loop)


def _verdict(sentence: str, bar: float, value: float) -> None:
    print(f"{'reached' if value >= bar else 'MISSED ':8s} {sentence} (bar {abs(bar):g})")


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
    print(f"{'way':20s} {'database':12s} {'mails/s':>9s} {'CPU ms':>9s}", end=" ")
    print("ledger µs server µs simul. µs   idle")
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
    split(found)
    verdicts(naive, pool, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

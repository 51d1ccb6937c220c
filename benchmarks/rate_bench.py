"""How exactly the rate holds, measured where the simulator receives.

    python benchmarks/rate_bench.py [--seconds 60] [--rates 1,5,14,50,200,1000]
        [--schedulers 1,4] [--skip 1x1,1000x4] [--database sqlite|postgresql|both|URL]
        [--api single|bulk] [--idle]

Prints mails a second and the fullest second and ten seconds, each with the verdict against its
bar: at least 98 % of the rate; in any second the rate + 2 (1.2 times above 200/s); in any ten
seconds 1.02 times + 2. Beside them what it cost: milliseconds of processor a second of all
schedulers, their sender processes included. `--skip` leaves out combinations of rate and
schedulers, `--idle` measures schedulers with nothing to send. The simulator is a process of
its own, PostgreSQL a throw-away server with full durability.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.installation import ROOT, installation
from tests.postgres import start_postgres

_ANSWER_MS = 60.0
#: Eight sender processes take a while to start on two cores.
_WARM_UP_SECONDS = 8.0


@dataclass(frozen=True)
class Cost:
    """What processes have used so far: seconds of processor, and resident memory now."""

    cpu: float
    megabytes: list[float]


@dataclass(frozen=True)
class Run:
    """Moments of reception within `seconds`, and what the schedulers cost meanwhile."""

    times: list[float]
    cpu_ms_per_second: float


def fullest(times: list[float], seconds: float) -> int:
    """The most of these moments in any window of this length."""
    return max(
        (bisect.bisect_left(times, at + seconds) - i for i, at in enumerate(times)), default=0
    )


def cost(pids: list[int]) -> Cost:
    """Of these processes and their children."""
    ticks, megabytes = 0, []
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/children")]
    children: list[str] = []
    for task in tasks:
        with suppress(OSError):  # a thread that has ended meanwhile
            children += task.read_text().split()
    for pid in [*map(str, pids), *children]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        megabytes.append(int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
    return Cost(ticks / os.sysconf("SC_CLK_TCK"), megabytes)


@contextmanager
def simulator() -> Iterator[str]:
    """The address of a simulator that runs in a process of its own, as users have it."""
    command = [sys.executable, "-m", "ses_simulator", "--port", "0", "--keep", "100"]
    command += ["--latency-ms", str(_ANSWER_MS), "--parent", str(os.getpid())]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(20)


def received(url: str) -> list[float]:
    """When the simulator had received each mail so far (epoch seconds)."""
    with urllib.request.urlopen(f"{url}/_sim/received.json") as answer:  # noqa: S310 - loopback
        times: list[float] = json.load(answer)["received"]
    return sorted(times)


@contextmanager
def place_with(
    schedulers: int, rate: float, database: str, api: str, mails: int
) -> Iterator[tuple[str, list[int]]]:
    """The simulator's address, and the schedulers that send `mails` to it at this rate."""
    with simulator() as url, installation(url, database) as place:
        if mails:
            place.campaign(mails)
        settings = {
            "MAX_EMAILS_PER_SECOND": str(rate),
            "SES_SEND_API": api,
            "SES_BULK_CALLS_PER_SECOND": "50",
            "SQS_QUEUE_URL": "none",
        }
        processes = [place.scheduler(**settings) for _ in range(schedulers)]
        try:
            yield url, [process.pid for process in processes]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(20)


def measure(rate: float, schedulers: int, seconds: float, database: str, api: str) -> Run:
    """What arrives over `seconds`, after a warm-up that begins with the first mail."""
    mails = int(rate * (seconds + _WARM_UP_SECONDS + 15)) + 50
    with place_with(schedulers, rate, database, api, mails) as (url, pids):
        give_up = time.time() + 60
        while not (times := received(url)):
            if time.time() > give_up:
                sys.exit("No mail arrived within a minute: do the schedulers start?")
            time.sleep(0.05)
        begin = times[0] + _WARM_UP_SECONDS
        time.sleep(max(0.0, begin - time.time()))
        before = cost(pids).cpu
        time.sleep(max(0.0, begin + seconds - time.time()))
        used = cost(pids).cpu - before
        time.sleep(0.5)
        times = [at for at in received(url) if begin <= at < begin + seconds]
    return Run(times, 1e3 * used / seconds)


def verdict(rate: float, run: Run, seconds: float) -> tuple[str, bool]:
    """One line of the table, and whether every bar was met."""
    times, span = run.times, min(10.0, seconds)
    second, ten = fullest(times, 1.0), fullest(times, span)
    edge = 0 if seconds >= 60 else 1  # a short run has room for one mail more or less
    most = rate + 2 if rate <= 200 else 1.2 * rate
    missed = [
        name
        for name, good in (
            ("share", len(times) >= 0.98 * rate * seconds - edge),
            (f"second ({most:g})", second <= most),
            (f"ten seconds ({1.02 * span * rate + 2:.0f})", ten <= 1.02 * span * rate + 2),
        )
        if not good
    ]
    figures = f"{len(times) / seconds:9.2f}  {len(times) / (rate * seconds):6.2%}"
    figures += f"  {second:7d}  {ten:8d}  {run.cpu_ms_per_second:8.0f}"
    return f"{figures}  {'MISSED: ' + ', '.join(missed) if missed else 'held'}", not missed


def idle(schedulers: int, seconds: float, database: str) -> str:
    """One line: processor and memory of schedulers that have nothing to do."""
    with place_with(schedulers, 10.0, database, "single", 0) as (_, pids):
        time.sleep(_WARM_UP_SECONDS)
        before = cost(pids)
        time.sleep(seconds)
        after = cost(pids)
    share = (after.cpu - before.cpu) / seconds
    return f"     idle  {schedulers:10d}  {share:.1%} of a core, {sum(after.megabytes):.0f} MB"


@contextmanager
def address_of(kind: str) -> Iterator[str]:
    """An empty database of this kind: its address, empty for a SQLite file."""
    if kind != "postgresql":
        yield "" if kind == "sqlite" else kind
        return
    server = start_postgres(durable=True)
    try:
        server.execute("CREATE DATABASE rates")
        yield server.url("rates")
    finally:
        server.stop()


def table(options: argparse.Namespace, kind: str) -> int:
    """All combinations on one kind of database; how many missed a bar."""
    durable = {"sqlite": "WAL, synchronous=FULL", "postgresql": "fsync and synchronous_commit on"}
    print(f"{kind.partition(':')[0]} {durable.get(kind, '')}, {options.api}")
    print("     rate  schedulers     per s   share  1 s max  10 s max  CPU ms/s  bars")
    missed = 0
    with address_of(kind) as database:
        counts = [int(count) for count in options.schedulers.split(",")]
        if options.idle:
            for count in counts:
                print(idle(count, options.seconds, database), flush=True)
            return 0
        for rate in map(float, options.rates.split(",")):
            for count in counts:
                if f"{rate:g}x{count}" in options.skip.split(","):
                    continue
                run = measure(rate, count, options.seconds, database, options.api)
                line, good = verdict(rate, run, options.seconds)
                missed += not good
                print(f"{rate:9g}  {count:10d} {line}", flush=True)
    return missed


def main() -> int:
    """Run all combinations; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rates", default="1,5,14,50,200,1000")
    parser.add_argument("--schedulers", default="1,4")
    parser.add_argument("--skip", default="", help="as RATExSCHEDULERS,...")
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, both or a URL")
    parser.add_argument("--api", choices=("single", "bulk"), default="single")
    parser.add_argument("--idle", action="store_true", help="measure schedulers without work")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{options.seconds:g} s each, answers after {_ANSWER_MS:g} ms, load {load:.1f} before")
    kinds = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    return 1 if sum(table(options, kind) for kind in kinds) else 0


if __name__ == "__main__":
    sys.exit(main())

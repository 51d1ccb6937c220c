"""Schedulers as separate processes: how much several carry, and what one campaign of a million
costs to launch and in memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, func, select, text

from benchmarks.installation import ROOT, Installation, installation
from benchmarks.many_rows import add_campaign
from domain.statuses import CampaignStatus
from models import Recipient
from ses_simulator.server import Simulator, start

MEMORY_BAR_MB, LAUNCH_BAR_SECONDS = 160.0, 2.0
_ANSWER_MS = 60.0
_WARM_UP_SECONDS = 4.0


@contextmanager
def simulator() -> Iterator[Simulator]:
    """SES that answers after 60 ms and tells no events."""
    with start(port=0, keep=100) as simulator:
        simulator.faults.latency_ms = _ANSWER_MS
        simulator.faults.lose_events = 1.0
        yield simulator


@contextmanager
def schedulers(
    place: Installation, count: int, **settings: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many scheduler processes, drained at the end of the block."""
    running = [place.scheduler(SQS_QUEUE_URL="none", **settings) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


def throughput(url: str, count: int, ceiling: float, seconds: float) -> float:
    """Mails a second of `count` schedulers, counted where they arrive; prints its line."""
    mails = int(min(ceiling, 1500.0) * (seconds + _WARM_UP_SECONDS + 8)) + 500
    with simulator() as ses, installation(ses.url, url) as place:
        add_campaign(place.engine, mails)
        with schedulers(place, count, MAX_EMAILS_PER_SECOND=f"{ceiling:g}", SENDERS="1"):
            while not ses.outbox.times:
                time.sleep(0.02)
            time.sleep(_WARM_UP_SECONDS)
            before, began = ses.outbox.total, time.monotonic()
            time.sleep(seconds)
            rate = (ses.outbox.total - before) / (time.monotonic() - began)
        twice, claimed_again, workers = _doubles(ses, place.engine)
    shared = ", ".join(f"{share:.0%}" for share in workers)
    print(
        f"{ceiling:8g} {count:10d} {rate:9.0f} {rate / ceiling:6.0%} {twice:10d}"
        f" {claimed_again:14d}   {shared}",
        flush=True,
    )
    return rate


def _doubles(ses: Simulator, engine: Engine) -> tuple[int, int, list[float]]:
    """Addresses that got two mails, rows with two attempts, each worker's share of the rows."""
    twice = sum(count > 1 for count in ses.outbox.counts.values())
    with engine.connect() as connection:
        again = connection.scalar(select(func.count()).where(Recipient.attempts > 1)) or 0
        by_worker = select(func.count()).where(Recipient.attempts > 0).group_by(Recipient.worker)
        counts = list(connection.scalars(by_worker))
    return twice, again, [count / sum(counts) for count in counts]


def campaign(url: str, rows: int, seconds: float, way: str, *, whole: bool) -> bool:
    """Launch a campaign by command and send it, or as much as `seconds` allow."""
    with simulator() as ses, installation(ses.url, url) as place:
        campaign_id = add_campaign(place.engine, rows, status=CampaignStatus.DRAFT)
        settings = {
            "MAX_EMAILS_PER_SECOND": "10000",
            "SES_SEND_API": way,
            "SES_BULK_CALLS_PER_SECOND": "200",
        }
        with schedulers(place, 1, **settings) as (scheduler,):
            time.sleep(4)
            good = _launch(place, ses, campaign_id)
            good &= _watch(ses, scheduler.pid, rows if whole else None, seconds)
    return good


def _launch(place: Installation, ses: Simulator, campaign_id: int) -> bool:
    read = _rows_read(place.engine)
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", "campaigns", "launch", str(campaign_id)],
        cwd=ROOT,
        env={**os.environ, **place.environment, "FLASK_SKIP_DOTENV": "1"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    ended = time.time()
    while not ses.outbox.times:
        time.sleep(0.005)
    first = ses.outbox.times[0]
    after = max(0.0, first - _launched_at(place.engine, campaign_id))
    good = after <= LAUNCH_BAR_SECONDS
    print(
        f"the command took {ended - began:.2f} s (Python's start included); the first mail was"
        f" out {after:.2f} s after the launch, {first - began:.2f} s after Enter"
        f"  {'held' if good else 'MISSED'}"
    )
    if read is not None:
        time.sleep(1.5)
        print(
            f"rows of recipients read from before the launch until {ses.outbox.total:,} mails"
            f" were out: {(_rows_read(place.engine) or 0) - read:,}"
        )
    return good


def _launched_at(engine: Engine, campaign_id: int) -> float:
    query = text("SELECT launched_at FROM campaigns WHERE id = :id")
    with engine.connect() as connection:
        return float(connection.execute(query, {"id": campaign_id}).scalar_one())


def _rows_read(engine: Engine) -> int | None:
    """Rows that PostgreSQL has read of recipients so far."""
    if engine.dialect.name == "sqlite":
        return None
    query = text(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables"
        " WHERE relname = 'recipients'"
    )
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def _watch(ses: Simulator, pid: int, until: int | None, seconds: float) -> bool:
    """Memory of the scheduler's processes every quarter of the time."""
    began, first = time.monotonic(), ses.outbox.total
    samples: list[dict[int, float]] = []
    print(f"{'s':>6s} {'mails':>10s}   MB of each process, and their sum")
    next_line = 5.0
    while True:
        passed = time.monotonic() - began
        samples.append(memory_of(pid))
        if passed >= next_line:
            each = " + ".join(f"{mb:.0f}" for mb in samples[-1].values())
            total = ses.outbox.total
            print(f"{passed:6.0f} {total:10,d}   {each} = {sum(samples[-1].values()):.0f}")
            next_line += seconds / 6
        if ses.outbox.total >= until if until is not None else passed > seconds:
            break
        time.sleep(0.5)
    rate = (ses.outbox.total - first) / (time.monotonic() - began)
    most_one = max(max(sample.values()) for sample in samples)
    most_all = max(sum(sample.values()) for sample in samples)
    good = most_one <= MEMORY_BAR_MB
    print(
        f"{rate:.0f} mails/s; most memory: {most_one:.0f} MB in one process, {most_all:.0f} MB"
        f" in all  {'held' if good else 'MISSED'}",
        flush=True,
    )
    return good


def memory_of(pid: int) -> dict[int, float]:
    """Resident MB of a process and its children, by pid."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError):  # the thread has ended meanwhile
            pids += [int(child) for child in (task / "children").read_text().split()]
    found = {}
    for one in pids:
        try:
            status = Path(f"/proc/{one}/status").read_text()
        except FileNotFoundError:
            continue
        if "VmRSS:" in status:
            found[one] = int(status.partition("VmRSS:")[2].split()[0]) / 1000
    return found

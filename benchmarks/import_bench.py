"""How fast a CSV of a million rows gets into a campaign, with duplicates, suppressions and syntax
checked, beside a naive import (pandas and one ORM object a row) in the same run.

`python -m benchmarks.import_bench [--rows N] [--database URL] [--naive-rows N]`; without
`--database` a SQLite file in a temporary folder. Bars: 25,000 rows a second, 250 MB. The figure
in CPU seconds is the one to compare on a machine that does other things.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import openpyxl
from sqlalchemy.orm import Session, sessionmaker

from database import make_engine, make_sessions, writing
from domain.addresses import address_hash, address_key
from domain.statuses import JobKind, SuppressionReason
from models import Base, Campaign, CampaignCounters, Recipient
from services import job_queue, suppression
from services.dry_runs import DryRun
from services.installation import address_key_secret, ensure_installation
from services.ledger import read_counters
from services.recipients import ImportOptions, import_file
from services.recount import recount

_NAMES = ("Ana", "Björn", "Carla", "Dmitri", "Eva", "François", "Gina", "Hans", "Inês", "José")


def main(arguments: list[str]) -> None:
    """Make the files, import them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--naive-rows", type=int, default=20_000)
    parser.add_argument("--sheet-rows", type=int, default=100_000)
    parser.add_argument("--database")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="import-bench-") as folder:
        place = Path(folder)
        engine = make_engine(options.database or f"sqlite:///{place / 'bench.db'}")
        Base.metadata.create_all(engine)
        sessions = make_sessions(engine)
        _prepare(sessions)
        _bench_dry_run(sessions, _csv(place / "list.csv", options.rows))
        _bench(sessions, place / "list.csv")
        if options.sheet_rows:
            _bench(sessions, _xlsx(place / "list.xlsx", options.sheet_rows))
        if options.naive_rows:
            _bench_naive(sessions, _csv(place / "naive.csv", options.naive_rows))
        engine.dispose()


def _bench(sessions: sessionmaker[Session], path: Path) -> None:
    campaign_id = _campaign(sessions)
    steps: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    report = import_file(
        sessions,
        campaign_id,
        path,
        path.name,
        clock=lambda: datetime.now(UTC),
        progress=lambda done, total: steps.append(time.perf_counter()),
    )
    _say(path, report.counts.rows, began, cpu)
    gaps = sorted(two - one for one, two in pairwise(steps))
    print(f"  {report.counts}")
    if gaps:
        typical, late = gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)]
        print(f"  a step and its reading: {typical:.4f} s, 99 of 100 under {late:.4f} s")
    with sessions() as session:
        equal = read_counters(session, campaign_id) == recount(session, campaign_id)
    print(f"  counters equal a recount: {equal}")


def _bench_dry_run(sessions: sessionmaker[Session], path: Path) -> None:
    """The same verdicts with nothing stored."""
    campaign_id, now = _campaign(sessions), datetime.now(UTC)
    with sessions() as session, writing(session):
        job = job_queue.start_here(session, JobKind.DRY_RUN, campaign_id, {}, None, "bench", now)
        job_id = job.id
    began, cpu = time.perf_counter(), time.process_time()
    run = DryRun(sessions, job_id, "bench", lambda: datetime.now(UTC))
    run.do(campaign_id, path, path.name, ImportOptions())
    print("dry run of", end=" ")
    _say(path, run.findings.counts.rows, began, cpu)
    print(f"  {run.findings.counts}")


def _bench_naive(sessions: sessionmaker[Session], path: Path) -> None:
    """What a first version would do: the whole table in memory, one object a row."""
    import pandas

    campaign_id = _campaign(sessions)
    began, cpu = time.perf_counter(), time.process_time()
    frame = pandas.read_csv(path, dtype=str, keep_default_na=False)
    now = datetime.now(UTC)
    with sessions() as session, writing(session):
        secret, seen = address_key_secret(session), set()
        for email, *_ in frame.itertuples(index=False):
            address = address_key(email)
            if address in seen or "@" not in address:
                continue
            seen.add(address)
            session.add(
                Recipient(
                    campaign_id=campaign_id,
                    email=email,
                    address=address,
                    address_hash=address_hash(secret, email),
                    updated_at=now,
                )
            )
    _say(path, len(frame), began, cpu)


def _say(path: Path, rows: int, began: float, cpu: float) -> None:
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{path.name}: {rows:,} rows in {seconds:.1f} s = {rows / seconds:,.0f}/s; "
        f"CPU {used:.1f} s = {rows / used:,.0f}/s; memory so far {memory:.0f} MB"
    )


def _prepare(sessions: sessionmaker[Session]) -> None:
    with sessions() as session, writing(session):
        ensure_installation(session)
        for number in range(0, 10_000, 10):
            suppression.suppress(
                session, f"ana.{number}@mail1.example.com", SuppressionReason.BOUNCED,
                "bench", None, datetime.now(UTC),
            )  # fmt: skip


def _campaign(sessions: sessionmaker[Session]) -> int:
    now = datetime.now(UTC)
    with sessions() as session, writing(session):
        campaign = Campaign(name="bench", created_at=now, updated_at=now)
        session.add(campaign)
        session.flush()
        session.add(CampaignCounters(campaign_id=campaign.id))
        return campaign.id


def _rows(count: int) -> Iterator[tuple[str, str, str, str]]:
    """Addresses in random order, one in 50 a duplicate, one in 200 no address."""
    dice = random.Random(7)
    for number in range(count):
        name = _NAMES[number % len(_NAMES)]
        label = f"ana.{dice.randrange(count * 50)}" if number % 50 else "ana.twice"
        email = f"{label}@mail{dice.randrange(5000)}.example.com" if number % 200 else "nobody"
        if number % 500 == 7:  # on the suppression list, see _prepare
            email = f"ana.{number // 50 % 1000 * 10}@mail1.example.com"
        yield email, name, f"Sample{number % 977}", "Springfield"


def _csv(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.write("E-mail,First name,Last name,City\n")
        file.writelines(",".join(row) + "\n" for row in _rows(count))
    return path


def _xlsx(path: Path, count: int) -> Path:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["E-mail", "First name", "Last name", "City"])
    for row in _rows(count):
        sheet.append(row)
    book.save(path)
    return path


if __name__ == "__main__":
    main(sys.argv[1:])

"""From one machine to many: what holds at a million rows and with several schedulers.

    python benchmarks/scale_bench.py [claim] [growth] [hosts] [campaign] [writers]
        [--database sqlite|postgresql|both] [--rows N] [--seconds N]

claim: a claim among a million rows, in the cases that make it slow. growth: dead rows and sizes
over a campaign of 200,000. hosts: 1, 2 and 4 schedulers. campaign: launch and memory of a
million; a part of it unless --whole. writers: small writes on SQLite beside a large import.
PostgreSQL runs with fsync, full_page_writes and synchronous_commit on, SQLite with
synchronous=FULL.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import scale_claims, scale_growth, scale_hosts, scale_writers
from tests.postgres import PostgresServer, start_postgres


@contextmanager
def postgres(**settings: str) -> Iterator[PostgresServer]:
    """A server with full durability."""
    server = start_postgres(durable=True, shared_buffers="512MB", **settings)
    try:
        yield server
    finally:
        server.stop()


def claim(options: argparse.Namespace) -> bool:
    """The claim of 50 rows at so many rows."""
    rows, good = options.rows or 1_000_000, True
    print(f"a claim of 50 rows among {rows:,}; ms; the bar is {scale_claims.BAR_MS:g}")
    scale_claims.head()
    if options.database != "postgresql":
        good &= scale_claims.on_sqlite(rows)
    if options.database != "sqlite":
        with postgres(autovacuum="off") as server:
            good &= scale_claims.on_postgres(server, rows)
    return good


def growth(options: argparse.Namespace) -> bool:
    """Sizes of the recipients table over a campaign."""
    with postgres() as server:
        scale_growth.measure(server, options.rows or 200_000, options.storage)
    return True


def hosts(options: argparse.Namespace) -> bool:
    """Schedulers under ceilings, the last of which is out of reach."""
    print(
        f"{'ceiling':>8s} {'schedulers':>10s} {'mails/s':>9s} {'share':>6s} {'sent twice':>10s}",
        "claimed twice   share of each",
    )
    with postgres() as server:
        server.execute("CREATE DATABASE hosts")
        for ceiling in map(float, options.ceilings.split(",")):
            for count in (1, 2, 4):
                scale_hosts.throughput(server.url("hosts"), count, ceiling, options.seconds or 10)
    return True


def campaign(options: argparse.Namespace) -> bool:
    """One large campaign on each database."""
    rows, seconds, good = options.rows or 1_000_000, options.seconds or 120, True
    if options.database != "postgresql":
        print(f"a campaign of {rows:,} on SQLite, {options.way}")
        good &= scale_hosts.campaign("", rows, seconds, options.way, whole=options.whole)
    if options.database != "sqlite":
        print(f"a campaign of {rows:,} on PostgreSQL, {options.way}")
        with postgres() as server:
            server.execute("CREATE DATABASE large")
            url = server.url("large")
            good &= scale_hosts.campaign(url, rows, seconds, options.way, whole=options.whole)
    return good


def writers(options: argparse.Namespace) -> bool:
    """Small writes beside an import."""
    return scale_writers.measure(options.rows or 1_000_000, options.seconds or 60)


_ALL: dict[str, Callable[[argparse.Namespace], bool]] = {
    step.__name__: step for step in (claim, growth, hosts, campaign, writers)
}


def main() -> int:
    """Run the measurements that are named, or all; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", choices=[*_ALL, []], default=[])
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--ceilings", default="200,400,10000")
    parser.add_argument("--way", choices=("single", "bulk"), default="bulk")
    parser.add_argument("--whole", action="store_true", help="send the campaign to its end")
    parser.add_argument("--storage", default="", help='as in "fillfactor = 70"')
    options = parser.parse_args()
    good = True
    for name in options.what or _ALL:
        print(f"{name}: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before", flush=True)
        good &= _ALL[name](options)
        print()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

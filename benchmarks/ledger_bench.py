"""What the database costs a mail: turns of the sender's own loop whose calls are answered at once.

    python benchmarks/ledger_bench.py [--mails N] [--batch N] [--database sqlite|postgresql|both]

Nothing is rendered, sent or waited for, so that processor time is all there is: it says the same on
a machine that others use. Claim, mark and record go through the real loop with durable commits;
"client" is that loop's thread, "server" the PostgreSQL processes.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
from sqlalchemy.orm import Session, sessionmaker

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rate_limiter
from benchmarks.installation import installation
from benchmarks.send_bench import database
from config import Settings
from database import make_engine, make_sessions, writing
from domain import pacing
from domain.send_outcomes import Outcome, SendResult
from sender.engine import SendEngine
from sender.pool import SenderPool, Work
from services.sending import Report

_RATE = 100_000.0
_WARM_TURNS = 20


def answer_at_once(pool: SenderPool, works: list[Work]) -> None:
    """What SES would say of these mails."""
    at = datetime.now(UTC)
    for work in works:
        result = SendResult(Outcome.ACCEPTED, message_id=f"0100{secrets.token_hex(26)}")
        pool.reports.append(Report(work.row, result, at))


def server_seconds(url: str) -> float:
    """Processor seconds of all PostgreSQL processes that serve clients; 0 on SQLite."""
    if not url:
        return 0.0
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        pids = [pid for (pid,) in connection.execute(query)]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def loop(settings: Settings, sessions: sessionmaker[Session], batch: int) -> SendEngine:
    """A sender's loop that is never short of slots and takes `batch` rows a turn."""
    engine = SendEngine(settings, sessions, cast(Any, None), "benchmark")
    pool = engine._pool
    cast(Any, pool).put = lambda works: answer_at_once(pool, works)
    cast(Any, pacing).most_slots = lambda rate: batch
    cast(Any, pacing).HORIZON_SECONDS = 1e9
    with sessions() as session, writing(session):
        rate_limiter.put_ceiling_in_force(session, _RATE, 0.0)
    return engine


def measure(url: str, mails: int, batch: int) -> tuple[float, float, float]:
    """Microseconds a mail: the client's processor, the server's, and by the clock."""
    with installation("http://127.0.0.1:1", url) as place:
        place.campaign(mails + (_WARM_TURNS + 2) * batch)
        settings = Settings.from_env(place.environment | {"MAX_EMAILS_PER_SECOND": str(_RATE)})
        ours = make_engine(place.engine.url, by_index=True)
        engine = loop(settings, make_sessions(ours), batch)
        for _ in range(_WARM_TURNS):
            engine.step()
        began, cpu, server = time.perf_counter(), time.thread_time(), server_seconds(url)
        done = 0
        while done < mails:
            engine.step()
            done += len(engine._pool.reports)
        seconds = time.perf_counter() - began
        cpu, server = time.thread_time() - cpu, server_seconds(url) - server
        ours.dispose()
    return 1e6 * cpu / done, 1e6 * server / done, 1e6 * seconds / done


def main() -> int:
    """Print one line for each database."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mails", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    options = parser.parse_args()
    kinds = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    print(f"{options.mails:,} mails, {options.batch} a turn; µs of processor a mail")
    print(f"{'':12s} {'client':>8s} {'server':>8s} {'both':>8s} {'clock':>8s}")
    for kind in kinds:
        with database(kind) as url:
            client, server, clock = measure(url, options.mails, options.batch)
        print(f"{kind:12s} {client:8.0f} {server:8.0f} {client + server:8.0f} {clock:8.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

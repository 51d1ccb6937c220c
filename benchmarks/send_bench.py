"""How fast mails leave: the naive loop, a pool of boto3 threads, and ours, side by side.

    python benchmarks/send_bench.py [--mails 5000] [--database URL]

The simulator answers after 60 ms. Ours does everything (claim, suppression check, rendering,
signing, sending, recording with synchronous commits); the other two only send.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from aws.clients import AwsClients
from benchmarks.installation import installation
from config import Settings
from domain.outgoing import OutgoingEmail, make_sender, send_email_request
from ses_simulator.server import Simulator, start

_ANSWER_MS = 60.0
#: About 15 KB, personalised.
_HTML = "<p>Hello {{ name }}</p>" + "<p>News of the day, told to {{ name }} at length.</p>" * 270


def baseline(simulator: Simulator, settings: Settings, mails: int, threads: int) -> float:
    """CPU seconds of a pool of boto3 threads that only sends."""
    clients = AwsClients(settings)
    sender = make_sender("news@example.com")

    def send(number: int) -> None:
        html = _HTML.replace("{{ name }}", f"Person {number}")
        mail = OutgoingEmail(sender, f"person{number}@example.com", "News", html, "News")
        request: dict[str, Any] = send_email_request(mail)
        clients.ses.send_email(**request)

    before = time.thread_time() if threads == 1 else _cpu_now()
    if threads == 1:
        for number in range(mails):
            send(number)
        return time.thread_time() - before
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(send, range(mails)))
    return _cpu_now() - before


def _cpu_now() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def ours(simulator: Simulator, mails: int, database: str, senders: int) -> float:
    """CPU seconds of a scheduler that sends a whole campaign, start included."""
    with installation(simulator.url, database) as place:
        place.campaign(mails, _HTML)
        simulator.outbox.clear()
        process = place.scheduler(
            "--until-idle", MAX_EMAILS_PER_SECOND="10000", SQS_QUEUE_URL="none",
            SENDERS=str(senders),
        )  # fmt: skip
        _, code, usage = os.wait4(process.pid, 0)
        assert code == 0
    return usage.ru_utime + usage.ru_stime


def row(name: str, simulator: Simulator, run: Callable[[], float]) -> None:
    """Run one way and print its line."""
    simulator.outbox.clear()
    cpu = run()
    times = sorted(simulator.outbox.times)
    rate = (len(times) - 1) / (times[-1] - times[0])
    print(f"{name:28s} {len(times):7d} {rate:9.0f} {1e3 * cpu / len(times):10.2f}", flush=True)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mails", type=int, default=5000)
    parser.add_argument(
        "--database", default="", help="an empty PostgreSQL database; default SQLite"
    )
    options = parser.parse_args()
    kind = options.database.partition(":")[0] or "sqlite, WAL, synchronous=FULL"
    print(f"answers after {_ANSWER_MS:g} ms, 15 KB mails, {kind}, {os.cpu_count()} cores")
    print(f"{'way':28s} {'mails':>7s} {'mails/s':>9s} {'CPU ms':>10s}")
    with start(port=0, keep=100) as simulator:
        simulator.faults.latency_ms = _ANSWER_MS
        simulator.faults.lose_events = 1.0
        settings = Settings.from_env(
            {
                "SECRET_KEY": "a key for benchmarks of more than thirty-two characters",
                "EMAIL_BACKEND": "simulator",
                "SIMULATOR_PORT": simulator.url.rpartition(":")[2],
            }
        )
        row("naive loop", simulator, lambda: baseline(simulator, settings, 100, 1))
        few = min(options.mails, 3000)
        row("boto3, 64 threads", simulator, lambda: baseline(simulator, settings, few, 64))
        row(
            "ours, single, 1 process",
            simulator,
            lambda: ours(simulator, options.mails, options.database, 1),
        )
        row(
            "ours, single, 2 processes",
            simulator,
            lambda: ours(simulator, options.mails, options.database, 2),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

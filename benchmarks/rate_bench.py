"""How exactly the rate holds, measured where the simulator receives.

    python benchmarks/rate_bench.py [--seconds 60] [--rates 1,5,14,50,200,1000]
        [--schedulers 1,4] [--database URL]

Prints mails a second and the fullest second and ten seconds, with the verdict against the bars:
at least 98 % of the rate; in any second the rate + 2 (1.2 times above 200/s); in any ten
seconds 1.02 times + 2.
"""

from __future__ import annotations

import argparse
import bisect
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.installation import installation
from ses_simulator.server import start

_ANSWER_MS = 60.0
_WARM_UP_SECONDS = 3.0


def fullest(times: list[float], seconds: float) -> int:
    """The most of these moments in any window of this length."""
    return max(
        (bisect.bisect_left(times, at + seconds) - i for i, at in enumerate(times)), default=0
    )


def measure(rate: float, schedulers: int, seconds: float, database: str) -> list[float]:
    """Moments of reception over `seconds`, after a warm-up, from the first to the last."""
    with start(port=0, keep=100) as simulator, installation(simulator.url, database) as place:
        simulator.faults.latency_ms = _ANSWER_MS
        place.campaign(int(rate * (seconds + _WARM_UP_SECONDS + 15)) + 50)
        processes = [
            place.scheduler(MAX_EMAILS_PER_SECOND=str(rate), SQS_QUEUE_URL="none")
            for _ in range(schedulers)
        ]
        try:
            while not simulator.outbox.times:
                time.sleep(0.05)
            begin = simulator.outbox.times[0] + _WARM_UP_SECONDS
            time.sleep(max(0.0, begin + seconds + 0.5 - time.time()))
            everything = sorted(simulator.outbox.times)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(20)
    return [at for at in everything if begin <= at < begin + seconds]


def verdict(rate: float, times: list[float], seconds: float) -> tuple[str, bool]:
    """One line of the table, and whether every bar was met."""
    second, ten = fullest(times, 1.0), fullest(times, min(10.0, seconds))
    most = rate + 2 if rate <= 200 else 1.2 * rate
    share = len(times) / (rate * seconds)
    # A minute at one a second has room for one mail more or less at its edges.
    enough = len(times) >= 0.98 * rate * seconds - 1
    good = enough and second <= most and ten <= 1.02 * min(10.0, seconds) * rate + 2
    figures = f"{len(times) / seconds:9.2f}  {share:6.1%}  {second:7d}  {ten:8d}"
    return f"{figures}  {'held' if good else 'MISSED'}", good


def main() -> int:
    """Run all combinations; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rates", default="1,5,14,50,200,1000")
    parser.add_argument("--schedulers", default="1,4")
    parser.add_argument(
        "--database", default="", help="an empty PostgreSQL database; default SQLite"
    )
    options = parser.parse_args()
    kind = options.database.partition(":")[0] or "sqlite, WAL, synchronous=FULL"
    print(f"{options.seconds:g} s each, answers after {_ANSWER_MS:g} ms, {kind}")
    print("     rate  schedulers     per s   share  1 s max  10 s max  bars")
    missed = 0
    for rate in map(float, options.rates.split(",")):
        for schedulers in map(int, options.schedulers.split(",")):
            times = measure(rate, schedulers, options.seconds, options.database)
            line, good = verdict(rate, times, options.seconds)
            missed += not good
            print(f"{rate:9g}  {schedulers:10d} {line}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

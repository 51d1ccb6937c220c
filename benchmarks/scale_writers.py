"""Four writers on one SQLite file beside the import of a large list: how long they wait."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.installation import installation
from benchmarks.many_rows import add_campaign
from database import make_engine, make_sessions, writing
from domain.statuses import CampaignStatus
from services import sending
from services.recipients import import_file

BAR_MS = 50.0
_WRITERS = 4
#: Each writes so often (seconds between, on average).
_PAUSE = 0.03


def measure(rows: int, seconds: float) -> bool:
    """Import a list of `rows` for at most `seconds` while four processes write; the verdict."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, installation("http://127.0.0.1:1") as place:
        url = place.environment["DATABASE_URL"]
        campaign_id = add_campaign(place.engine, 0, status=CampaignStatus.DRAFT)
        path = Path(folder) / "list.csv"
        with path.open("w") as file:
            file.write("email,name\n")
            for n in random.sample(range(rows), rows):
                file.write(f"person{n}@example{n % 50}.com,Person {n}\n")
        importer = context.Process(target=importing, args=(url, campaign_id, str(path)))
        importer.start()
        time.sleep(3)
        lines = [context.Pipe() for _ in range(_WRITERS)]
        writers = [
            context.Process(target=write, args=(url, campaign_id, seconds, there))
            for _, there in lines
        ]
        for writer in writers:
            writer.start()
        found = [here.recv() for here, _ in lines]
        for writer in writers:
            writer.join()
        goes_on = importer.is_alive()
        importer.terminate()
        importer.join()
        with place.engine.connect() as connection:
            imported = connection.exec_driver_sql("SELECT count(*) FROM recipients").scalar()
    waits = sorted(1e3 * wait for one in found for wait, _ in one)
    whole = sorted(1e3 * all_of_it for one in found for _, all_of_it in one)
    going = "" if goes_on else ", the import ended meanwhile"
    print(f"{_WRITERS} writers, {len(waits):,} small writes, {imported:,} rows imported{going}")
    print(f"{'':24s} {'median':>8s} {'p99':>8s} {'longest':>8s}   ms")
    for name, times in (("until it may write", waits), ("and until it is on disk", whole)):
        print(f"{name:24s} {_at(times, 0.5):8.1f} {_at(times, 0.99):8.1f} {times[-1]:8.1f}")
    good = _at(waits, 0.99) <= BAR_MS
    print(f"{'held' if good else 'MISSED'}: 99 of 100 wait at most {BAR_MS:g} ms", flush=True)
    return good


def _at(times: list[float], share: float) -> float:
    return times[int(share * (len(times) - 1))]


def importing(url: str, campaign_id: int, path: str) -> None:
    """A process that imports."""
    sessions = make_sessions(make_engine(url))
    import_file(sessions, campaign_id, Path(path), "list.csv", clock=lambda: datetime.now(UTC))


def write(url: str, campaign_id: int, seconds: float, line: Connection) -> None:
    """A process that writes a row and commits, again and again; tells (wait, all of it)."""
    sessions = make_sessions(make_engine(url))
    times = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with sessions() as session:
            began = time.perf_counter()
            with writing(session):
                begun = time.perf_counter()
                sending.add_rate_samples(session, {(campaign_id, int(time.time()) // 5): 1})
            ended = time.perf_counter()
        times.append((begun - began, ended - began))
        time.sleep(random.expovariate(1 / _PAUSE))
    line.send(times)

"""How long 100,000 addresses over 5,000 domains take to verify when DNS answers in 20 ms.

`python -m benchmarks.verify_bench [--rows N] [--domains N] [--delay SECONDS]`: a SQLite file in a
temporary folder and a DNS server of our own on loopback. Bar: 60 seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from database import make_engine, make_sessions, writing
from models import Base, Campaign, CampaignCounters
from services.installation import ensure_installation
from services.mail_domains import MxResolver
from services.recipients import import_file
from services.verification import verify
from services.verified_people import CampaignPeople
from tests.dns_server import Zones, dns_server


def main(arguments: list[str]) -> None:
    """Import a list, verify it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--domains", type=int, default=5_000)
    parser.add_argument("--delay", type=float, default=0.02)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        engine = make_engine(f"sqlite:///{folder}/bench.db")
        Base.metadata.create_all(engine)
        sessions = make_sessions(engine)
        now = datetime.now(UTC)
        with sessions() as session, writing(session):
            ensure_installation(session)
            session.add(Campaign(id=1, name="bench", created_at=now, updated_at=now))
            session.flush()
            session.add(CampaignCounters(campaign_id=1))
        path = Path(folder) / "list.csv"
        lines = (f"u{n}@d{n % options.domains}.example\n" for n in range(options.rows))
        path.write_text("email\n" + "".join(lines))
        import_file(sessions, 1, path, path.name, clock=lambda: now)
        zones = Zones(any_mx=True, delay=options.delay)
        with dns_server(zones) as address:
            began, cpu = time.perf_counter(), time.process_time()
            resolver = MxResolver([address])
            report = verify(sessions, CampaignPeople(1), resolver=resolver, clock=lambda: now)
            seconds, used = time.perf_counter() - began, time.process_time() - cpu
        print(
            f"{options.rows:,} addresses over {options.domains:,} domains in {seconds:.1f} s "
            f"(CPU {used:.1f} s, the DNS server's included), {len(zones.questions):,} questions: "
            f"{report.as_json()}"
        )
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])

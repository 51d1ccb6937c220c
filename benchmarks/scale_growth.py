"""How the table of recipients grows while a campaign goes through it (PostgreSQL).

The ledger is driven as a scheduler drives it, without the calls between: claim, mark, record,
and the delivery of each mail.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from benchmarks.installation import installation
from benchmarks.many_rows import add_campaign
from database import writing
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import Fact
from services import claims, ledger, sending
from services.ledger import FactChange
from services.sending import Report
from tests.postgres import PostgresServer

_AT_ONCE = 100
#: Deliveries are told so many batches after the mail.
_BATCHES_BETWEEN = 30
_FIGURES = text(
    "SELECT n_tup_upd, n_tup_hot_upd, n_dead_tup, autovacuum_count,"
    " pg_relation_size(relid) AS heap, pg_indexes_size(relid) AS indexes"
    " FROM pg_stat_user_tables WHERE relname = 'recipients'"
)


def measure(server: PostgresServer, rows: int, settings: str) -> None:
    """Send a whole campaign, with storage parameters of the table; a line each quarter."""
    print(f"recipients {settings or 'as made'}: {rows:,} mails")
    print(
        f"{'':9s} {'heap MB':>8s} {'index MB':>9s} {'HOT':>6s} {'dead rows':>10s} {'vacuums':>8s}"
    )
    server.execute("DROP DATABASE IF EXISTS growth")
    server.execute("CREATE DATABASE growth")
    with installation("http://127.0.0.1:1", server.url("growth")) as place:
        if settings:
            with place.engine.begin() as connection:
                connection.execute(text(f"ALTER TABLE recipients SET ({settings})"))
        campaign_id = add_campaign(place.engine, rows)
        _line(place.engine, 0)
        with place.sessions() as session:
            began = time.perf_counter()
            _send_all(session, place.engine, campaign_id, rows)
            seconds = time.perf_counter() - began
    print(f"{1e6 * seconds / rows:.0f} µs a mail by the clock")


def _send_all(session: Session, engine: Engine, campaign_id: int, rows: int) -> None:
    floor, sent, quarter = 0, 0, rows // 4
    undelivered: list[list[FactChange]] = []
    while sent < rows:
        with writing(session):
            claim = claims.claim(
                session, campaign_id=campaign_id, limit=_AT_ONCE, worker="benchmark",
                lease_seconds=60, floor=floor,
            )  # fmt: skip
            claims.count_claims(session, {campaign_id: claim})
        floor, now = claim.last_id, datetime.now(UTC)
        result = SendResult(Outcome.ACCEPTED, message_id=f"{time.time_ns():032x}")
        with writing(session):
            claims.mark_submitted(session, claim.rows)
        with writing(session):
            sending.record_results(session, [Report(r, result, now) for r in claim.rows], now)
        undelivered.append(
            [FactChange(row.id, row.attempt_id, Fact.DELIVERED, now) for row in claim.rows]
        )
        if len(undelivered) > _BATCHES_BETWEEN:
            with writing(session):
                ledger.apply_changes(session, undelivered.pop(0), now)
        sent += len(claim.rows)
        if sent % quarter < _AT_ONCE:
            _line(engine, sent)


def _line(engine: Engine, sent: int) -> None:
    time.sleep(1.2)  # the server gathers its figures once a second
    with engine.connect() as connection:
        row = connection.execute(_FIGURES).one()
    share = row.n_tup_hot_upd / row.n_tup_upd if row.n_tup_upd else 0
    print(
        f"{sent:9,d} {row.heap / 1e6:8.0f} {row.indexes / 1e6:9.0f} {share:6.0%}"
        f" {row.n_dead_tup:10,d} {row.autovacuum_count:8d}",
        flush=True,
    )

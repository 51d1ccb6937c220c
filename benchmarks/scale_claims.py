"""The claim at a million rows, in the cases that have made such queries slow elsewhere."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, cast

from sqlalchemy import Engine, Table, func, select, text, update
from sqlalchemy.orm import Session

from benchmarks.installation import installation
from benchmarks.many_rows import add_campaign, add_rows, suppress_head
from database import is_sqlite, make_engine, make_sessions, writing
from domain.statuses import RecipientStatus
from models import Recipient
from services import claims, counters, lifecycle
from services.claims import Claim
from tests.postgres import PostgresServer

BAR_MS = 5.0
_ROUNDS, _AT_ONCE = 60, 50
_ROWS = cast(Table, Recipient.__table__)
_PAST = datetime(2026, 1, 1, tzinfo=UTC)
#: What the versions of a row are made of on its way to SES.
_SENT_STEPS: tuple[dict[str, Any], ...] = (
    {"status": "sending", "lease_until": _PAST, "attempt_id": "a", "facts": 1},
    {"submitted_at": _PAST, "attempts": 1},
    {"status": "sent", "lease_until": None, "sent_at": _PAST, "message_id": "m", "facts": 5},
)


class Stopwatch:
    """How long one worker's claims take, with its floor kept from round to round."""

    def __init__(self, session: Session, campaign_id: int) -> None:
        self.session = session
        self.campaign_id = campaign_id
        self.floor = 0
        self.look_at = _AT_ONCE
        self.claims: list[float] = []
        self.dues: list[float] = []
        self.cpu: list[float] = []
        self._server = "" if is_sqlite(session) else _schedstat(session)

    def round(self, rows: int = _AT_ONCE) -> Claim:
        """Is something due? Then claim, as the sender does."""
        began = time.perf_counter()
        lifecycle.sending_campaigns(self.session)
        self.dues.append(time.perf_counter() - began)
        with writing(self.session):
            began, cpu = time.perf_counter(), self._cpu()
            claim = claims.claim(
                self.session, campaign_id=self.campaign_id, limit=rows, worker="benchmark",
                lease_seconds=60, floor=self.floor, look_at=self.look_at,
            )  # fmt: skip
            self.claims.append(time.perf_counter() - began)
            self.cpu.append(self._cpu() - cpu)
            claims.count_claims(self.session, {self.campaign_id: claim})
        self.floor = claim.last_id
        return claim

    def forget(self) -> None:
        """Begin anew with the next round."""
        self.claims, self.dues, self.cpu = [], [], []

    def _cpu(self) -> float:
        """Processor seconds of this process and of the server's that works for it."""
        server = int(Path(self._server).read_text().split()[0]) / 1e9 if self._server else 0.0
        return time.process_time() + server

    def line(self, case: str) -> bool:
        """Print a line of the table; whether the bar is held."""
        times = sorted(1e3 * value for value in self.claims[1:])
        p95 = times[int(0.95 * len(times))]
        cpu, due = 1e3 * median(self.cpu[1:]), 1e3 * median(self.dues)
        good = p95 <= BAR_MS
        print(
            f"{case:42s} {1e3 * self.claims[0]:7.1f} {median(times):7.2f} {p95:7.2f} {cpu:7.2f}"
            f" {due:7.2f}  {'held' if good else 'MISSED'}",
            flush=True,
        )
        return good


def _schedstat(session: Session) -> str:
    pid = session.scalar(text("SELECT pg_backend_pid()"))
    session.rollback()
    return f"/proc/{pid}/schedstat"


def head() -> None:
    """The head of the table: the first claim, the others by the clock and processor, "due?"."""
    print(f"{'':42s} {'first':>7s} {'median':>7s} {'p95':>7s} {'CPU':>7s} {'due?':>7s}")


def on_sqlite(rows: int) -> bool:
    """All cases that SQLite has."""
    good = True
    with installation("http://127.0.0.1:1") as place:
        campaign_id = add_campaign(place.engine, rows)
        with place.sessions() as session:
            good &= _plain(session, campaign_id, "SQLite, never analysed")
            good &= _past_suppressed(session, campaign_id, "SQLite", rows // 5)
    return good


def on_postgres(server: PostgresServer, rows: int) -> bool:
    """The four cases, one after the other, on one campaign."""
    server.execute("CREATE DATABASE claims")
    with installation("http://127.0.0.1:1", server.url("claims")) as place:
        good = _plan_of_empty_table(server.url("claims"), rows)
        senders = make_engine(server.url("claims"), by_index=True)
        with make_sessions(senders)() as session:  # a new connection has no plans
            good &= _plain(session, 1, "PostgreSQL, never analysed")
            good &= _past_suppressed(session, 1, "PostgreSQL", rows // 5)
            good &= _under_old_snapshot(place.engine, session, 1, rows * 3 // 20)
        senders.dispose()
    return good


def _plain(session: Session, campaign_id: int, case: str) -> bool:
    watch = Stopwatch(session, campaign_id)
    for _ in range(_ROUNDS):
        watch.round()
    return watch.line(case)


def _plan_of_empty_table(url: str, rows: int) -> bool:
    """The connection claims on an empty table until its plan is kept, then the rows come."""
    engine = make_engine(url, by_index=True)
    campaign_id = add_campaign(engine, 0)
    with make_sessions(engine)() as session:
        watch = Stopwatch(session, campaign_id)
        for _ in range(20):
            watch.round()
        with make_sessions(engine)() as other:
            add_rows(other, campaign_id, 1, rows)
            with writing(other):
                counters.add(other, {campaign_id: {"pending": rows, "total": rows}})
        watch.forget()
        watch.floor = 0
        for _ in range(_ROUNDS):
            watch.round()
        good = watch.line("PostgreSQL, plan kept from the empty table")
    engine.dispose()
    return good


def _past_suppressed(session: Session, campaign_id: int, kind: str, rows: int) -> bool:
    suppress_head(session, campaign_id, rows)
    watch = Stopwatch(session, campaign_id)
    began = time.perf_counter()
    passed = 0
    while True:
        claim = watch.round()
        passed += claim.skipped
        if claim.rows:
            break
        watch.look_at = min(400 if is_sqlite(session) else 2000, 4 * max(10, claim.skipped))
    seconds = time.perf_counter() - began
    longest = watch.look_at
    print(
        f"{kind}: {passed:,} suppressed at the head, {longest} at once, passed in {seconds:.1f} s,"
        f" {1e6 * seconds / passed:.0f} µs a row by the clock, {1e6 * sum(watch.cpu) / passed:.0f}"
        " of processor"
    )
    watch.forget()
    watch.look_at = _AT_ONCE
    for _ in range(_ROUNDS):
        watch.round()
    return watch.line(f"{kind}, after the suppressed")


def _under_old_snapshot(engine: Engine, session: Session, campaign_id: int, rows: int) -> bool:
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as old:
        old.execute(text("SET idle_in_transaction_session_timeout = 0"))
        old.execute(text("SELECT count(*) FROM campaigns"))
        _send(session, campaign_id, rows)
        watch = Stopwatch(session, campaign_id)
        for _ in range(_ROUNDS):
            watch.round()
        return watch.line(f"PostgreSQL, {rows:,} sent, old snapshot")


def _send(session: Session, campaign_id: int, rows: int) -> None:
    """Three versions of each row, and the counters' row changed for every 50 of them."""
    pending = _ROWS.c.campaign_id == campaign_id, _ROWS.c.status == RecipientStatus.PENDING
    first = session.scalar(select(func.min(_ROWS.c.id)).where(*pending)) or 0
    for start in range(first, first + rows, 500):
        of = _ROWS.c.campaign_id == campaign_id, _ROWS.c.id.between(start, start + 499)
        for values in _SENT_STEPS:
            with writing(session):
                session.execute(update(_ROWS).where(*of).values(values))
        for _ in range(20):
            with writing(session):
                counters.add(session, {campaign_id: {"pending": -25, "sent": 25}})

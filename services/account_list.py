"""The suppression list beside that of the SES account: read, compared, brought in line.

What was read last is kept in a table, so that a comparison of a million entries is SQL, and what
was told to SES is noted there at once, so that a push goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, and_, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from aws.suppression_calls import (
    SECONDS_APART,
    AccountEntry,
    AccountList,
    AccountListProblem,
    EntryRefused,
)
from config import Settings
from database import bulk_session, is_sqlite, writing
from domain.addresses import address_hash, address_key
from domain.statuses import JobKind, JobStatus, SuppressionReason
from models import AccountSuppression, Job, SuppressedPattern, Suppression
from services import job_queue, suppression
from services.campaigns import Refused
from services.installation import address_key_secret

logger = logging.getLogger(__name__)

READ, PULL, PUSH = "read", "pull", "push"
#: What SES is told: addresses that it would have on its list by itself. Never who unsubscribed.
PUSHED = {SuppressionReason.BOUNCED: "BOUNCE", SuppressionReason.COMPLAINED: "COMPLAINT"}
_PULLED = {"COMPLAINT": SuppressionReason.COMPLAINED}
_STEP, _PUT_STEP, _FIRST_ROWS = 500, 20, 20
#: So many refused entries in a row are no matter of the addresses.
_MOST_REFUSED = 3
_THERE = cast(Table, AccountSuppression.__table__)
_HERE = cast(Table, Suppression.__table__)
_ONLY_THERE = ~exists().where(_HERE.c.address_hash == _THERE.c.address_hash)
_ONLY_HERE = and_(
    ~exists().where(_THERE.c.address_hash == _HERE.c.address_hash),
    ~exists().where(SuppressedPattern.suppression_id == _HERE.c.id),
    _HERE.c.address.is_not(None),
)
_TO_PUSH = and_(_ONLY_HERE, _HERE.c.reason.in_(PUSHED))


@dataclass(frozen=True, slots=True)
class Row:
    """One address that only one side has."""

    address: str
    reason: str
    since: datetime


def enqueue(session: Session, deed: str, by: str | None, now: datetime) -> Job:
    """Queue a reading, a pull or a push. Raises Refused while one of them is under way, and for
    a pull or push before the list was read."""
    latest = latest_job(session)
    if latest is not None and latest.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        raise Refused("The two lists are being worked on already: wait until that is done.")
    if deed != READ and comparison(session) is None:
        raise Refused("Read the list of the SES account first.")
    return job_queue.enqueue(session, JobKind.ACCOUNT_LIST, None, None, {"do": deed}, by, now)


def latest_job(session: Session) -> Job | None:
    """The newest reading, pull or push."""
    query = select(Job).where(Job.kind == JobKind.ACCOUNT_LIST).order_by(Job.id.desc())
    return session.scalars(query.limit(1)).first()


def comparison(session: Session) -> Job | None:
    """The newest job that ended with a comparison in its result; None before the first."""
    query = select(Job).where(Job.kind == JobKind.ACCOUNT_LIST, Job.status == JobStatus.DONE)
    return session.scalars(query.order_by(Job.id.desc()).limit(1)).first()


def first_rows(session: Session, found: Job, side: str) -> list[Row]:
    """The first addresses of a comparison that only "there" or only "here" has."""
    hashes = [bytes.fromhex(one) for one in (found.result or {}).get(f"first_{side}", [])]
    if side == "there":
        query = select(AccountSuppression).where(AccountSuppression.address_hash.in_(hashes))
        return [Row(one.address, one.reason, one.listed_at) for one in session.scalars(query)]
    listed = select(Suppression).where(Suppression.address_hash.in_(hashes)).order_by(
        Suppression.id
    )  # fmt: skip
    return [
        Row(one.address, one.reason.value, one.created_at)
        for one in session.scalars(listed)
        if one.address
    ]


@dataclass(slots=True)
class AccountListRun:
    """One job under a lease. `account` is used between the transactions, never inside one."""

    sessions: sessionmaker[Session]
    job_id: int
    worker: str
    clock: Callable[[], datetime]
    account: AccountList
    should_stop: Callable[[], bool] = lambda: False
    progress: Callable[[int, int | None], None] = lambda done, total: None

    def do(self, deed: str) -> dict[str, Any]:
        """Read, pull or push, then compare; the comparison. Raises Refused for what AWS says."""
        try:
            with bulk_session(self.sessions) as session:
                done, stopped = {READ: self._read, PULL: self._pull, PUSH: self._push}[deed](
                    session
                )
                result = {**compare(session), "did": deed, **done}
                status = JobStatus.STOPPED if stopped else JobStatus.DONE
                with writing(session):
                    job_queue.finish(
                        session, self.job_id, self.worker, status, self.clock(), result=result
                    )
        except AccountListProblem as problem:
            with self.sessions() as session, writing(session):
                job_queue.finish(
                    session, self.job_id, self.worker, JobStatus.FAILED, self.clock(),
                    error=str(problem),
                )  # fmt: skip
            raise Refused(str(problem)) from problem
        logger.info("account list, job %d: %s %s", self.job_id, deed, status.value)
        return result

    def _keep(self, session: Session, done: int, total: int | None) -> bool:
        """Note progress, in the caller's transaction; True if it is to stop."""
        facts = {"done": done} | ({"total": total} if total is not None else {})
        stop = job_queue.keep(session, self.job_id, self.worker, **facts)
        self.progress(done, total)
        return stop or self.should_stop()

    def _read(self, session: Session) -> tuple[dict[str, Any], bool]:
        """Take the whole list over into the table; begun anew after a restart."""
        secret, count = address_key_secret(session), 0
        session.rollback()
        for page in self.account.pages():
            for start in range(0, len(page), _STEP):
                part = page[start : start + _STEP]
                with writing(session):
                    _remember(session, part, secret, self.job_id)
                    stop = self._keep(session, count + len(part), None)
                count += len(part)
                if stop:
                    return {}, True
        gone = _STEP
        while gone == _STEP:
            stale = select(_THERE.c.address_hash).where(_THERE.c.job_id != self.job_id)
            with writing(session):
                old = delete(_THERE).where(_THERE.c.address_hash.in_(stale.limit(_STEP)))
                gone = int(getattr(session.execute(old), "rowcount", 0))
        return {}, False

    def _pull(self, session: Session) -> tuple[dict[str, Any], bool]:
        """Add here what only the account has."""
        after, added, stop, more = b"", 0, False, True
        query = select(_THERE).where(_ONLY_THERE).order_by(_THERE.c.address_hash).limit(_STEP)
        while more and not stop:
            rows = session.execute(query.where(_THERE.c.address_hash > after)).all()
            more = len(rows) == _STEP
            with writing(session):
                if rows:
                    new = [_pulled(row, self.clock()) for row in rows]
                    session.execute(suppression.insert_new(session), new)
                    after = rows[-1].address_hash
                added += len(rows)
                stop = self._keep(session, added, None)
        return {"pulled": added}, stop

    def _push(self, session: Session) -> tuple[dict[str, Any], bool]:
        """Tell SES about bounces and complaints that it does not have; it may take long."""
        secret = address_key_secret(session)
        total = _count(session, _HERE, _TO_PUSH)
        after, pushed, refused, in_a_row, words = 0, 0, 0, 0, ""
        while True:
            rows = _next_to_push(session, after)
            session.rollback()
            taken = []
            for row in rows:
                reason = PUSHED[row.reason]
                try:
                    self.account.put(row.address, reason)
                    taken.append(AccountEntry(row.address, reason, self.clock()))
                    in_a_row = 0
                except EntryRefused as problem:
                    refused, in_a_row, words = refused + 1, in_a_row + 1, str(problem)
                    if in_a_row == _MOST_REFUSED:
                        raise AccountListProblem(words) from problem
                after = row.id
            pushed += len(taken)
            with writing(session):
                _remember(session, taken, secret, self.job_id)
                stop = self._keep(session, pushed + refused, total)
            if stop or len(rows) < _PUT_STEP:
                return {"pushed": pushed, "refused": refused, "refused_because": words}, stop


def _next_to_push(session: Session, after: int) -> Sequence[Any]:
    query = select(_HERE.c.id, _HERE.c.address, _HERE.c.reason).where(_TO_PUSH, _HERE.c.id > after)
    return session.execute(query.order_by(_HERE.c.id).limit(_PUT_STEP)).all()


def _remember(
    session: Session, entries: Iterable[AccountEntry], secret: bytes, job_id: int
) -> None:
    rows = {}
    for one in entries:
        hashed = address_hash(secret, one.address)
        rows[hashed] = {
            "address_hash": hashed, "address": address_key(one.address), "reason": one.reason,
            "listed_at": one.listed_at, "job_id": job_id,
        }  # fmt: skip
    if rows:
        make = sqlite.insert if is_sqlite(session) else postgresql.insert
        given = make(_THERE)
        kept = {name: given.excluded[name] for name in ("reason", "listed_at", "job_id")}
        statement = given.on_conflict_do_update(index_elements=["address_hash"], set_=kept)
        session.execute(statement, [rows[key] for key in sorted(rows)])  # no deadlocks


def _pulled(row: Any, now: datetime) -> dict[str, Any]:
    said = f"On the list of the SES account as {row.reason} since {row.listed_at:%Y-%m-%d}."
    return {
        "address_hash": row.address_hash, "address": row.address, "source": said, "note": None,
        "reason": _PULLED.get(row.reason, SuppressionReason.ACCOUNT_LIST), "campaign_id": None,
        "created_at": now,
    }  # fmt: skip


def compare(session: Session) -> dict[str, Any]:
    """Both lists in figures: totals, who is on one alone by reason, and the first
    of them that a pull or a push would take."""
    only_there = _by_reason(session, _THERE, _ONLY_THERE)
    only_here = _by_reason(session, _HERE, _ONLY_HERE)
    there = session.scalar(select(func.count()).select_from(_THERE)) or 0
    found = {
        "there": there,
        "here": session.scalar(select(func.count()).select_from(_HERE)) or 0,
        "both": there - sum(only_there.values()),
        "only_there": only_there,
        "only_here": only_here,
        "would_pull": sum(only_there.values()),
        "would_push": sum(only_here.get(reason, 0) for reason in PUSHED),
        "first_there": _first(session, _THERE, _ONLY_THERE, _THERE.c.address_hash),
        "first_here": _first(session, _HERE, _TO_PUSH, _HERE.c.id),
    }
    session.rollback()
    return found


def _by_reason(session: Session, table: Table, condition: Any) -> dict[str, int]:
    rows = session.execute(
        select(table.c.reason, func.count()).where(condition).group_by(table.c.reason)
    )
    return {str(getattr(row[0], "value", row[0])): row[1] for row in rows}


def _first(session: Session, table: Table, condition: Any, order: Any) -> list[str]:
    query = select(table.c.address_hash).where(condition).order_by(order).limit(_FIRST_ROWS)
    return [hashed.hex() for hashed in session.scalars(query)]


def _count(session: Session, table: Table, condition: Any) -> int:
    return session.scalar(select(func.count()).select_from(table).where(condition)) or 0


def do_job(
    sessions: sessionmaker[Session],
    job: Job,
    worker: str,
    settings: Settings,
    clock: Callable[[], datetime],
    should_stop: Callable[[], bool],
) -> None:
    """Do a claimed job."""
    apart = 0.0 if settings.uses_simulator else SECONDS_APART
    with closing(AwsClients(settings)) as clients:
        account = AccountList(clients.ses, seconds_apart=apart)
        run = AccountListRun(sessions, job.id, worker, clock, account, should_stop)
        run.do(str(job.parameters.get("do")))


def do_here(
    sessions: sessionmaker[Session],
    deed: str,
    account: AccountList,
    *,
    clock: Callable[[], datetime],
    by: str | None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """The same in this process (a command); raises Refused."""
    worker = f"account:{os.getpid()}"
    with sessions() as session, writing(session):
        job_id = job_queue.start_here(
            session, JobKind.ACCOUNT_LIST, None, {"do": deed}, by, worker, clock()
        ).id
    return AccountListRun(sessions, job_id, worker, clock, account, should_stop, progress).do(deed)

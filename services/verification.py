"""Verifies the recipients of a campaign in the background: syntax, typing errors, throw-away and
shared mailboxes, MX, and what earlier campaigns have shown; in steps, stoppable, resumable.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table, bindparam, func, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from database import bulk_session, writing
from domain.statuses import (
    JobKind,
    JobStatus,
    RecipientStatus,
    SuppressionReason,
    Verdict,
)
from domain.typos import meant_domain
from domain.verification import DomainFinding, Insight, Judgement, Past, judge
from models import Campaign, Job, Recipient
from services import address_insights, job_queue, mail_domains
from services.address_insights import Asker
from services.campaigns import NotFound
from services.mail_domains import MxResolver
from services.suppression import suppressed_hashes

logger = logging.getLogger(__name__)

#: Rows judged together: their domains are looked up at the same time.
_CHUNK = 4_000
#: Rows written in one step.
_STEP = 400
#: Rows looked at together, and questions between two steps, when SES is asked.
_CHUNK_WITH_SES, _QUESTIONS = 200, 10
#: Misspelt domains that are kept with the job, to offer their correction.
_MOST_TYPOS = 300
_AT_ONCE_IN_SQL = 400
#: How many earlier campaigns are asked what became of an address.
_CAMPAIGNS_BACK = 20
_VERIFIED = (RecipientStatus.PENDING, RecipientStatus.SKIPPED)
_ROWS = cast(Table, Recipient.__table__)

_PAST_OF_SUPPRESSION = {
    SuppressionReason.BOUNCED: Past.BOUNCED,
    SuppressionReason.ACCOUNT_LIST: Past.BOUNCED,
    SuppressionReason.COMPLAINED: Past.COMPLAINED,
    SuppressionReason.UNSUBSCRIBED: Past.UNSUBSCRIBED,
    SuppressionReason.SOFT_BOUNCES: Past.SOFT_BOUNCED,
}
_PAST_OF_STATUS = {
    RecipientStatus.BOUNCED: Past.BOUNCED,
    RecipientStatus.COMPLAINED: Past.COMPLAINED,
    RecipientStatus.SOFT_BOUNCED: Past.SOFT_BOUNCED,
    RecipientStatus.DELIVERED: Past.DELIVERED,
}
#: The order of `Past`: what was shown first counts most.
_STRENGTH = {past: place for place, past in enumerate(Past)}


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """How many recipients got each verdict. `stopped`: a person stopped it before its end."""

    job_id: int
    counts: dict[Verdict, int]
    stopped: bool = False
    risks: dict[int, int] = field(default_factory=dict)  # rows by their set of Risk
    misspelt: tuple[str, ...] = ()  # domains

    def as_json(self) -> dict[str, int]:
        """The document of the command `campaigns verify`."""
        return {verdict.value: self.counts.get(verdict, 0) for verdict in Verdict}


def verify_campaign(
    sessions: sessionmaker[Session],
    campaign_id: int,
    *,
    resolver: MxResolver,
    clock: Callable[[], datetime],
    by: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> VerificationReport:
    """Verify all rows that are not sent yet, in this process. Raises NotFound."""
    worker = f"verify:{os.getpid()}"
    with sessions() as session, writing(session):
        if session.get(Campaign, campaign_id) is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        job_id = job_queue.start_here(
            session, JobKind.VERIFY, campaign_id, {}, by, worker, clock()
        ).id
    run = VerificationRun(sessions, job_id, worker, resolver, clock, progress, should_stop)
    return run.do(campaign_id)


@dataclass(slots=True)
class Tally:
    """How far a verification is and what it found, as it is kept with the job."""

    verdicts: Counter[str]
    risks: Counter[str]
    misspelt: dict[str, None]  # in the order in which they were found
    after_id: int

    @classmethod
    def of(cls, result: dict[str, Any] | None) -> Tally:
        """From a job's JSON."""
        kept = result or {}
        return cls(
            Counter({verdict.value: int(kept.get(verdict.value, 0)) for verdict in Verdict}),
            Counter(kept.get("risks", {})),
            dict.fromkeys(kept.get("misspelt", ())),
            int(kept.get("after_id", 0)),
        )

    def as_json(self) -> dict[str, Any]:
        """For a job's JSON."""
        found = {"risks": dict(self.risks), "misspelt": list(self.misspelt)}
        return {**self.verdicts, **found, "after_id": self.after_id}

    def add(self, step: list[tuple[Row[Any], Judgement]]) -> None:
        """Count some rows in."""
        for row, judgement in step:
            self.verdicts[judgement.verdict.value] += 1
            if judgement.risks:
                self.risks[str(int(judgement.risks))] += 1
            if judgement.mend and len(self.misspelt) < _MOST_TYPOS:
                domain = row.address.rpartition("@")[2]
                if meant_domain(domain):
                    self.misspelt[domain] = None
        self.after_id = step[-1][0].id


@dataclass(slots=True)
class VerificationRun:
    """One verification under a lease, from its first row or from where it stopped."""

    sessions: sessionmaker[Session]
    job_id: int
    worker: str
    resolver: MxResolver
    clock: Callable[[], datetime]
    progress: Callable[[int, int | None], None] = lambda done, total: None
    should_stop: Callable[[], bool] = lambda: False
    asker: Asker | None = None  # SES, where a person wants it asked
    ask_for: frozenset[Verdict] = frozenset()  # whose verdict without SES is one of these

    def do(self, campaign_id: int) -> VerificationReport:
        """Verify; the job ends as done or stopped.

        Raises JobLost if another worker has it, Refused if SES is to be asked and cannot be.
        """
        with bulk_session(self.sessions) as session:
            stopped = self._all(session, campaign_id)
            status = JobStatus.STOPPED if stopped else JobStatus.DONE
            with writing(session):
                job_queue.finish(session, self.job_id, self.worker, status, self.clock())
        logger.info("verification %d of campaign %d: %s", self.job_id, campaign_id, status.value)
        with self.sessions() as session:
            return report(session, self.job_id)

    def _all(self, session: Session, campaign_id: int) -> bool:
        tally = Tally.of(session.get_one(Job, self.job_id).result)
        total = session.scalar(
            select(func.count()).where(
                _ROWS.c.campaign_id == campaign_id, _ROWS.c.status.in_(_VERIFIED)
            )
        )
        domains: dict[str, DomainFinding] = {}
        limit = _CHUNK_WITH_SES if self.asker else _CHUNK
        while rows := _next_rows(session, campaign_id, tally.after_id, limit):
            self._look_up_domains(session, rows, domains)
            past = history(session, campaign_id, {row.address: row.address_hash for row in rows})
            insights = self._known_insights(session, rows)
            session.rollback()
            judged = [(row, _judge(row, domains, past, insights)) for row in rows]
            if self.asker:
                if self._ask_ses(session, judged, past, insights):
                    return True
                judged = [(row, _judge(row, domains, past, insights)) for row in rows]
            for start in range(0, len(judged), _STEP):
                step = judged[start : start + _STEP]
                tally.add(step)
                if self._write(session, step, tally, total) or self.should_stop():
                    return True
        return False

    def _known_insights(self, session: Session, rows: Iterable[Row[Any]]) -> dict[bytes, Insight]:
        if not address_insights.is_any_known(session):
            return {}
        hashes = [row.address_hash for row in rows]
        return address_insights.known_insights(session, hashes, self.clock())

    def _ask_ses(
        self,
        session: Session,
        judged: list[tuple[Row[Any], Judgement]],
        past: dict[str, Past],
        insights: dict[bytes, Insight],
    ) -> bool:
        """Add what SES says of the rows that a person wants asked; True = stop.

        The answers are kept every few questions: each was paid for.
        """
        asker = cast(Asker, self.asker)
        wanted = [
            row
            for row, judgement in judged
            if judgement.verdict in self.ask_for
            and row.address_hash not in insights
            and past.get(row.address) is not Past.DELIVERED
        ]
        for start in range(0, len(wanted), _QUESTIONS):
            fresh: dict[bytes, Insight] = {}
            try:
                for row in wanted[start : start + _QUESTIONS]:
                    fresh[row.address_hash] = asker.ask(row.email, self.clock())
            finally:
                with writing(session):
                    address_insights.remember(session, fresh, self.clock())
                    stop = job_queue.keep(session, self.job_id, self.worker)
            insights |= fresh
            if stop or self.should_stop():
                return True
        return False

    def _write(
        self,
        session: Session,
        step: list[tuple[Row[Any], Judgement]],
        tally: Tally,
        total: int | None,
    ) -> bool:
        changed = [
            {
                "b_id": row.id,
                "b_verdict": judgement.verdict,
                "b_reason": judgement.reason,
                "b_risks": int(judgement.risks) or None,
            }
            for row, judgement in step
            if (row.verdict, row.verdict_reason, row.risks)
            != (judgement.verdict, judgement.reason, int(judgement.risks) or None)
        ]
        done = sum(tally.verdicts.values())
        with writing(session):
            if changed:
                session.connection().execute(_SET_VERDICT, changed)
            stop = job_queue.keep(
                session, self.job_id, self.worker, done=done, total=total, result=tally.as_json()
            )
        self.progress(done, total)
        return stop

    def _look_up_domains(
        self, session: Session, rows: Iterable[Row[Any]], domains: dict[str, DomainFinding]
    ) -> None:
        """Add what is not known yet of the rows' domains: from the table, else from DNS."""
        names = {row.address.rpartition("@")[2] for row in rows} - domains.keys()
        domains |= mail_domains.known_domains(session, names, self.clock())
        session.rollback()  # no transaction is open while DNS is asked
        missing = sorted(names - domains.keys())
        for start in range(0, len(missing), _STEP):
            fresh = self.resolver.look_up(missing[start : start + _STEP])
            domains |= fresh
            with writing(session):
                mail_domains.remember(session, fresh, self.clock())
                job_queue.keep(session, self.job_id, self.worker)


_SET_VERDICT = (
    update(_ROWS)
    .where(_ROWS.c.id == bindparam("b_id"))
    .values(
        verdict=bindparam("b_verdict"),
        verdict_reason=bindparam("b_reason"),
        risks=bindparam("b_risks"),
    )
)


def report(session: Session, job_id: int) -> VerificationReport:
    """The figures of a verification as far as it is."""
    job = session.get_one(Job, job_id)
    tally = Tally.of(job.result)
    return VerificationReport(
        job_id,
        {verdict: tally.verdicts[verdict.value] for verdict in Verdict},
        stopped=job.status is JobStatus.STOPPED,
        risks={int(risks): count for risks, count in tally.risks.items()},
        misspelt=tuple(tally.misspelt),
    )


def verdict_counts(session: Session, campaign_id: int) -> dict[Verdict | None, int]:
    """Rows by verdict as they are now (None = never verified), counted afresh."""
    rows = session.execute(
        select(_ROWS.c.verdict, func.count())
        .where(_ROWS.c.campaign_id == campaign_id, _ROWS.c.status.in_(_VERIFIED))
        .group_by(_ROWS.c.verdict)
    )
    return {row[0]: row[1] for row in rows}


def risk_counts(session: Session, campaign_id: int) -> dict[int, int]:
    """Rows by their set of `Risk` as they are now, counted afresh."""
    rows = session.execute(
        select(_ROWS.c.risks, func.count())
        .where(_ROWS.c.campaign_id == campaign_id, text("verdict IN ('risky', 'unknown')"))
        .where(_ROWS.c.status.in_(_VERIFIED), _ROWS.c.risks.is_not(None))
        .group_by(_ROWS.c.risks)
    )
    return {row[0]: row[1] for row in rows}


def _next_rows(session: Session, campaign_id: int, after: int, limit: int) -> list[Row[Any]]:
    c = _ROWS.c
    query = (
        select(c.id, c.email, c.address, c.address_hash, c.verdict, c.verdict_reason, c.risks)
        .where(c.campaign_id == campaign_id, c.status.in_(_VERIFIED), c.id > after)
        .order_by(c.id)
        .limit(limit)
    )
    return list(session.execute(query))


def _judge(
    row: Row[Any],
    domains: dict[str, DomainFinding],
    past: dict[str, Past],
    insights: dict[bytes, Insight],
) -> Judgement:
    domain = domains.get(row.address.rpartition("@")[2])
    return judge(row.email, domain, past.get(row.address), insights.get(row.address_hash))


def history(session: Session, campaign_id: int, hashes: Mapping[str, bytes]) -> dict[str, Past]:
    """The strongest thing known of addresses (address → its hash) from outside this campaign."""
    found: dict[str, Past] = {}
    suppressed = suppressed_hashes(session, list(hashes.values()))
    for address, hashed in hashes.items():
        reason = suppressed.get(hashed)
        if reason in _PAST_OF_SUPPRESSION:
            found[address] = _PAST_OF_SUPPRESSION[reason]
    earlier = session.scalars(
        select(Campaign.id)
        .where(Campaign.id != campaign_id, Campaign.launched_at.is_not(None))
        .order_by(Campaign.id.desc())
        .limit(_CAMPAIGNS_BACK)
    ).all()
    if not earlier:
        return found
    addresses = list(hashes)
    for start in range(0, len(addresses), _AT_ONCE_IN_SQL):
        outcomes = session.execute(
            select(_ROWS.c.address, _ROWS.c.status).where(
                _ROWS.c.campaign_id.in_(earlier),
                _ROWS.c.address.in_(addresses[start : start + _AT_ONCE_IN_SQL]),
                _ROWS.c.status.in_(_PAST_OF_STATUS),
            )
        )
        for address, status in outcomes:
            past = _PAST_OF_STATUS[status]
            known = found.get(address)
            if known is None or _STRENGTH[past] < _STRENGTH[known]:
                found[address] = past
    return found

"""Verifies the recipients of a campaign or the members of a list in the background: syntax, typing
errors, throw-away and shared mailboxes, MX, and what earlier campaigns have shown; in steps,
stoppable, resumable.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, Table, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from audience_models import ListImport
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
from services import address_insights, job_queue, mail_domains, verified_people
from services.address_insights import Asker
from services.mail_domains import MxResolver
from services.suppression import suppressed_hashes
from services.verified_people import VERIFIED, ListPeople, People

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
    """How many people got each verdict. `stopped`: a person stopped it before its end."""

    job_id: int
    counts: dict[Verdict, int]
    stopped: bool = False
    risks: dict[int, int] = field(default_factory=dict)  # rows by their set of Risk
    misspelt: Mapping[str, int] = field(default_factory=dict)  # domains, with how many people

    def as_json(self) -> dict[str, int]:
        """The document of the commands `campaigns verify` and `lists verify`."""
        return {verdict.value: self.counts.get(verdict, 0) for verdict in Verdict}


def verify(
    sessions: sessionmaker[Session],
    people: People,
    *,
    resolver: MxResolver,
    clock: Callable[[], datetime],
    by: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> VerificationReport:
    """Verify them in this process. Raises NotFound."""
    worker = f"verify:{os.getpid()}"
    with sessions() as session, writing(session):
        people.must_exist(session)
        job_id = job_queue.start_here(
            session, JobKind.VERIFY, people.campaign_id, {}, by, worker, clock()
        ).id
        if isinstance(people, ListPeople):
            session.add(ListImport(job_id=job_id, list_id=people.list_id))
    run = VerificationRun(sessions, job_id, worker, resolver, clock, progress, should_stop)
    return run.do(people)


@dataclass(slots=True)
class Tally:
    """How far a verification is and what it found, as it is kept with the job."""

    verdicts: Counter[str]
    risks: Counter[str]
    misspelt: Counter[str]  # people by domain
    after_id: int

    @classmethod
    def of(cls, result: dict[str, Any] | None) -> Tally:
        """From a job's JSON."""
        kept = result or {}
        return cls(
            Counter({verdict.value: int(kept.get(verdict.value, 0)) for verdict in Verdict}),
            Counter(kept.get("risks", {})),
            Counter(kept.get("misspelt", ())),
            int(kept.get("after_id", 0)),
        )

    def as_json(self) -> dict[str, Any]:
        """For a job's JSON."""
        found = {"risks": dict(self.risks), "misspelt": dict(self.misspelt)}
        return {**self.verdicts, **found, "after_id": self.after_id}

    def add(self, step: list[tuple[Row[Any], Judgement]]) -> None:
        """Count some rows in."""
        for row, judgement in step:
            self.verdicts[judgement.verdict.value] += 1
            if judgement.risks:
                self.risks[str(int(judgement.risks))] += 1
            domain = row.address.rpartition("@")[2] if judgement.mend else ""
            if meant_domain(domain) and (
                domain in self.misspelt or len(self.misspelt) < _MOST_TYPOS
            ):
                self.misspelt[domain] += 1
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

    def do(self, people: People) -> VerificationReport:
        """Verify; the job ends as done or stopped.

        Raises JobLost if another worker has it, Refused if SES is to be asked and cannot be.
        """
        with bulk_session(self.sessions) as session:
            stopped = self._all(session, people)
            status = JobStatus.STOPPED if stopped else JobStatus.DONE
            with writing(session):
                job_queue.finish(session, self.job_id, self.worker, status, self.clock())
        logger.info("verification %d of %s: %s", self.job_id, people, status.value)
        with self.sessions() as session:
            return report(session, self.job_id)

    def _all(self, session: Session, people: People) -> bool:
        tally = Tally.of(session.get_one(Job, self.job_id).result)
        total = verified_people.count(session, people)
        domains: dict[str, DomainFinding] = {}
        limit = _CHUNK_WITH_SES if self.asker else _CHUNK
        while rows := verified_people.next_rows(session, people, tally.after_id, limit):
            self._look_up_domains(session, rows, domains)
            hashes = {row.address: row.address_hash for row in rows}
            past = history(session, people.campaign_id, hashes)
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
                if self._write(session, people, step, tally, total) or self.should_stop():
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
        people: People,
        step: list[tuple[Row[Any], Judgement]],
        tally: Tally,
        total: int,
    ) -> bool:
        of_contacts = people.campaign_id is None
        same = {"b_at": self.clock()} if of_contacts else {}  # a contact keeps when it was checked
        changed = [
            {
                "b_id": row.id,
                "b_verdict": judgement.verdict,
                "b_reason": judgement.reason,
                "b_risks": int(judgement.risks) or None,
                **same,
            }
            for row, judgement in step
            if same
            or (row.verdict, row.verdict_reason, row.risks)
            != (judgement.verdict, judgement.reason, int(judgement.risks) or None)
        ]
        done = sum(tally.verdicts.values())
        with writing(session):
            if changed:
                session.connection().execute(verified_people.set_verdict(people.table), changed)
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


def report(session: Session, job_id: int) -> VerificationReport:
    """The figures of a verification as far as it is."""
    job = session.get_one(Job, job_id)
    tally = Tally.of(job.result)
    return VerificationReport(
        job_id,
        {verdict: tally.verdicts[verdict.value] for verdict in Verdict},
        stopped=job.status is JobStatus.STOPPED,
        risks={int(risks): count for risks, count in tally.risks.items()},
        misspelt=dict(tally.misspelt),
    )


def verdict_counts(session: Session, campaign_id: int) -> dict[Verdict | None, int]:
    """Rows by verdict as they are now (None = never verified), counted afresh."""
    rows = session.execute(
        select(_ROWS.c.verdict, func.count())
        .where(_ROWS.c.campaign_id == campaign_id, _ROWS.c.status.in_(VERIFIED))
        .group_by(_ROWS.c.verdict)
    )
    return {row[0]: row[1] for row in rows}


def risk_counts(session: Session, campaign_id: int) -> dict[int, int]:
    """Rows by their set of `Risk` as they are now, counted afresh."""
    rows = session.execute(
        select(_ROWS.c.risks, func.count())
        .where(_ROWS.c.campaign_id == campaign_id, text("verdict IN ('risky', 'unknown')"))
        .where(_ROWS.c.status.in_(VERIFIED), _ROWS.c.risks.is_not(None))
        .group_by(_ROWS.c.risks)
    )
    return {row[0]: row[1] for row in rows}


def _judge(
    row: Row[Any],
    domains: dict[str, DomainFinding],
    past: dict[str, Past],
    insights: dict[bytes, Insight],
) -> Judgement:
    domain = domains.get(row.address.rpartition("@")[2])
    return judge(row.email, domain, past.get(row.address), insights.get(row.address_hash))


def history(
    session: Session, campaign_id: int | None, hashes: Mapping[str, bytes]
) -> dict[str, Past]:
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

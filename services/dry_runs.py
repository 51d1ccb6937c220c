"""Dry run of an import: every row is read and judged as the import would, nothing of it is stored
but the refused rows and the figures, which belong to the dry run's own job.

Memory stays the same for any number of rows: addresses seen are kept in a temporary database.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from database import writing
from domain.file_problems import FileProblem
from domain.recipient_files import RecipientRow, recipient_rows
from domain.refusal_kinds import STARTS, RefusalKind, kind_of
from domain.rejects import titles
from domain.rendering import TemplateProblem, compile_mail
from domain.statuses import JobStatus
from domain.template_language import ALWAYS_THERE
from models import Campaign, Recipient, RefusedRow
from services import import_batches, job_queue
from services.campaigns import Refused
from services.import_batches import Candidate, Counts, Target
from services.import_places import importable
from services.installation import address_key_secret
from services.ledger import read_counters
from services.recipients import ImportOptions, OpenTable, open_table

logger = logging.getLogger(__name__)

_STEP = 1_000
#: Progress is written this often (seconds), and whenever there are refused rows to keep.
_REPORT_SECONDS = 0.5
_AT_ONCE = 500


@dataclass(slots=True)
class Findings:
    """What a dry run has found so far. `there` are duplicates of rows the campaign has already;
    the other duplicates are in the file twice."""

    counts: Counts = field(default_factory=Counts)
    there: int = 0
    said_no: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """For the job's result."""
        return {
            **asdict(self.counts),
            "there": self.there,
            "said_no": self.said_no,
            "refusals": dict(self.refusals),
            "missing": dict(self.missing),
        }


class SeenAddresses:
    """The addresses of a file so far, on disk where they are many."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)  # private, spills to a temporary
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -32000"):
            self._file.execute(f"PRAGMA {pragma}")
        self._file.execute("CREATE TABLE seen (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        self._file.execute("BEGIN")

    def new_among(self, hashes: Sequence[bytes]) -> set[int]:
        """The places of the hashes that come for the first time; all are kept."""
        known: set[bytes] = set()
        for start in range(0, len(hashes), _AT_ONCE):
            part = hashes[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT hash FROM seen WHERE hash IN ({marks})"  # noqa: S608 - marks only
            known.update(row[0] for row in self._file.execute(query, part))
        fresh: set[int] = set()
        for place, one in enumerate(hashes):
            if one not in known:
                known.add(one)
                fresh.add(place)
        self._file.executemany(
            "INSERT INTO seen VALUES (?)", [(hashes[place],) for place in sorted(fresh)]
        )
        return fresh

    def close(self) -> None:
        """Forget them."""
        self._file.close()


@dataclass(slots=True)
class DryRun:
    """One dry run under a lease. After a restart it begins anew."""

    sessions: sessionmaker[Session]
    job_id: int
    worker: str
    clock: Callable[[], datetime]
    should_stop: Callable[[], bool] = lambda: False
    findings: Findings = field(default_factory=Findings)
    _facts: dict[str, Any] = field(default_factory=dict)
    _used: tuple[str, ...] = ()
    _reported: float = 0.0

    def do(self, campaign_id: int, path: Path, filename: str, options: ImportOptions) -> JobStatus:
        """Judge the file; the job ends as done, stopped or failed.

        Raises Refused for what a person must change, JobLost if another worker has the job.
        """
        try:
            with open_table(path, options) as table, closing(SeenAddresses()) as seen:
                target = self._begin(campaign_id, filename, table)
                stopped = self._judge_all(table, target, seen)
        except FileProblem as problem:
            raise Refused(str(problem)) from problem
        status = JobStatus.STOPPED if stopped else JobStatus.DONE
        with self.sessions() as session, writing(session):
            job_queue.finish(
                session, self.job_id, self.worker, status, self.clock(), **self._progress()
            )
        logger.info("dry run %d for campaign %d: %s", self.job_id, campaign_id, status.value)
        return status

    def _begin(self, campaign_id: int, filename: str, table: OpenTable) -> Target:
        names = table.layout.variable_names
        with self.sessions() as session, writing(session):
            importable(session, campaign_id)
            session.execute(delete(RefusedRow).where(RefusedRow.job_id == self.job_id))
            used = variables_used(session.get_one(Campaign, campaign_id))
            self._used = tuple(name for name in used if name in names)
            self._facts = {
                "columns": names,
                "headers": titles(table.layout.headers, table.layout.email_column),
                "absent": [name for name in used if name not in names],
                "used": list(used),
                "empty_before": read_counters(session, campaign_id)["total"] == 0,
            }
            job_queue.keep(session, self.job_id, self.worker, total=table.lines)
            return Target(campaign_id, self.job_id, filename, address_key_secret(session))

    def _judge_all(self, table: OpenTable, target: Target, seen: SeenAddresses) -> bool:
        """Go through all rows; True if it was stopped."""
        rows = recipient_rows(table.rows, table.layout)
        while chunk := list(islice(rows, _STEP)):
            batch = import_batches.prepare(chunk, target)
            fresh = seen.new_among([one.address_hash for one in batch.candidates])
            with self.sessions() as session:
                first = [one for at, one in enumerate(batch.candidates) if at in fresh]
                new = self._not_there(session, first, target)
                judged = list(import_batches.with_suppressions(session, new))
            self._count(chunk, batch, judged, there=len(first) - len(new))
            if self._keep(batch.refused) or self.should_stop():
                return True
        return False

    def _not_there(
        self, session: Session, candidates: list[Candidate], target: Target
    ) -> list[Candidate]:
        """Those that the campaign does not have yet."""
        if self._facts["empty_before"]:
            return candidates
        known: set[str] = set()
        for start in range(0, len(candidates), _AT_ONCE):
            part = [one.address for one in candidates[start : start + _AT_ONCE]]
            known.update(
                session.scalars(
                    select(Recipient.address).where(
                        Recipient.campaign_id == target.campaign_id, Recipient.address.in_(part)
                    )
                )
            )
        return [one for one in candidates if one.address not in known]

    def _count(
        self,
        chunk: list[RecipientRow],
        batch: import_batches.Batch,
        judged: list[Candidate],
        *,
        there: int,
    ) -> None:
        found = self.findings
        good = [one for one in judged if one.skip is None]
        found.counts = found.counts.plus(
            Counts(
                rows=batch.rows,
                added=len(good),
                duplicates=len(batch.candidates) - len(judged),
                suppressed=len(judged) - len(good),
                refused_total=len(batch.refused),
            )
        )
        found.there += there
        found.said_no += sum(1 for one in judged if one.skip and one.skip.code == "said_no")
        found.refusals.update(kind_of(one["reason"]).value for one in batch.refused)
        if self._used:
            by_line = {row.line: row.variables for row in chunk}
            for one in good:
                variables = by_line[one.line or 0]
                found.missing.update(name for name in self._used if not variables[name])

    def _keep(self, refused: list[dict[str, Any]]) -> bool:
        """Write refused rows and progress; True if a person says stop."""
        if not refused and time.perf_counter() - self._reported < _REPORT_SECONDS:
            return False
        self._reported = time.perf_counter()
        with self.sessions() as session, writing(session):
            if refused:
                session.execute(insert(RefusedRow), refused)
            return job_queue.keep(session, self.job_id, self.worker, **self._progress())

    def _progress(self) -> dict[str, Any]:
        return {
            "done": self.findings.counts.rows,
            "result": {**self._facts, **self.findings.as_json()},
        }


def variables_used(campaign: Campaign) -> tuple[str, ...]:
    """The columns that the campaign's mail reads; none where the mail cannot be compiled."""
    try:
        mail = compile_mail(campaign.subject or "", campaign.html or "", campaign.text or "")
    except TemplateProblem:
        return ()
    return tuple(name for name in mail.variables if name not in ALWAYS_THERE)


def begins_with(reason: InstrumentedAttribute[str], kind: RefusalKind) -> ColumnElement[bool]:
    """The condition that a reason is of this kind, see domain.refusal_kinds."""
    if kind is RefusalKind.OTHER:
        others = [start for starts in STARTS.values() for start in starts]
        return and_(*(~reason.startswith(start, autoescape=True) for start in others))
    return or_(*(reason.startswith(start, autoescape=True) for start in STARTS[kind]))

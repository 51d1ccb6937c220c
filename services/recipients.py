"""Imports recipients from a file into a campaign: in the background, stoppable, resumable,
undoable as a whole; nothing is dropped in silence.

The rows are read and judged outside of any transaction and written in steps of a few
milliseconds, so that sending and the pages go on beside a million rows.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from database import Checkpoints, bulk_session, is_sqlite, someone_waits, writing
from domain.file_problems import FileProblem
from domain.recipient_files import Layout, look, recipient_rows, renamed
from domain.rejects import titles
from domain.statuses import JobKind, JobStatus, RecipientStatus
from domain.text_tables import TableRow, TextFormat, count_lines, detect_format, read_rows
from models import Job, Recipient, RefusedRow
from services import counters, import_ahead, import_batches, job_queue, suppression
from services.campaigns import NotFound, Refused
from services.import_batches import Batch, Counts, Target
from services.import_places import CampaignPlace, Place, importable
from services.installation import address_key_secret
from services.spreadsheets import Workbook, convert, is_workbook, numbered_rows

logger = logging.getLogger(__name__)

#: A writing step on SQLite takes about this long (seconds), if others write as well or not.
_BESIDE_OTHERS, _ALONE = 0.012, 0.1
#: Others count for so long after one had to wait (seconds).
_OTHERS_STAY = 1.0
#: How much of a step may be waiting for the disk or for other programs' share of the processor.
_WAITING = 3.0
_FIRST_STEP, _SMALLEST, _LARGEST = 300, 200, 10_000
#: Rows that are judged together; a step is made of some of these.
PIECE = 100
_STEP_ON_POSTGRES = 2_000
_SHOWN_REFUSED = 1_000
_UNDO_STEP = 500


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a person chose after the look; None = as found. `header_line` 0 = no header;
    columns count from 0; `names` gives variable names by column, None leaves one out."""

    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    header_line: int | None = None
    email_column: int | None = None
    names: dict[int, str | None] = field(default_factory=dict)

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> ImportOptions:
        """From a job's JSON, whose keys are strings."""
        known = {name: parameters.get(name) for name in cls.__slots__ if name != "names"}
        names = {int(at): name for at, name in (parameters.get("names") or {}).items()}
        return cls(**known, names=names)

    def as_parameters(self) -> dict[str, Any]:
        """For a job's JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A row that was not added: its physical line or sheet row, its text, and why."""

    line: int
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file. `stopped`: a person stopped it before its end."""

    job_id: int
    counts: Counts
    refused: tuple[RefusedLine, ...]
    columns: tuple[str, ...]
    stopped: bool = False

    def as_json(self) -> dict[str, Any]:
        """The document of the command `campaigns import`."""
        return {
            **asdict(self.counts),
            "refused": [asdict(line) for line in self.refused],
            "columns": list(self.columns),
        }


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A file opened as rows: how it was read, and the rows below the header."""

    layout: Layout
    rows: Iterator[TableRow]
    text: TextFormat | None
    workbook: Workbook | None
    lines: int  # about how many rows there are


@contextmanager
def open_table(path: Path, options: ImportOptions) -> Iterator[OpenTable]:
    """Open a recipient file of any kind; raises FileProblem with a sentence for a person."""
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        text = workbook = None
        if is_workbook(file.read(8)):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sheet-"))
            target = Path(folder) / "rows.csv"
            workbook = convert(path, target, options.sheet)
            file = stack.enter_context(target.open("rb"))
            rows = numbered_rows(file)
        else:
            text = detect_format(file, encoding=options.encoding, delimiter=options.delimiter)
            rows = read_rows(file, text)
        stack.callback(rows.close)
        lines = count_lines(file)
        layout, below = look(
            rows, header_line=options.header_line, email_column=options.email_column
        )
        about = max(1, lines - (layout.header_line or 0))
        yield OpenTable(renamed(layout, options.names), below, text, workbook, about)


def import_file(
    sessions: sessionmaker[Session],
    campaign_id: int,
    path: Path,
    filename: str,
    *,
    clock: Callable[[], datetime],
    by: str | None = None,
    options: ImportOptions | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ImportReport:
    """Import a file in this process, in short writing steps of its own.

    Raises Refused if the campaign takes no recipients any more or the file cannot be read. A
    file that turns out unreadable half-way leaves nothing behind, nor does one that the database
    breaks off, if that still takes the undoing.
    """
    worker = f"import:{os.getpid()}"
    with sessions() as session, writing(session):
        importable(session, campaign_id)
        parameters = {"filename": filename}
        job_id = job_queue.start_here(
            session, JobKind.IMPORT, campaign_id, parameters, by, worker, clock()
        ).id
    run = ImportRun(sessions, job_id, worker, clock, progress, should_stop)
    try:
        return run.do(campaign_id, path, filename, options or ImportOptions())
    except DBAPIError:  # nobody else goes on with this one
        with suppress(DBAPIError):
            undo_rows(sessions, job_id)
            run.fail("It was broken off; nothing of it is left.")
        raise


@dataclass(slots=True)
class ImportRun:
    """One import under a lease, from its first step or from where it stopped."""

    sessions: sessionmaker[Session]
    job_id: int
    worker: str
    clock: Callable[[], datetime]
    progress: Callable[[int, int | None], None] = lambda done, total: None
    should_stop: Callable[[], bool] = lambda: False

    def do(
        self, place: Place | int, path: Path, filename: str, options: ImportOptions
    ) -> ImportReport:
        """Import the file; the job ends as done, stopped or failed, and the report is returned.

        Raises Refused for what a person must change, JobLost if another worker has the job.
        """
        if isinstance(place, int):
            place = CampaignPlace(place)
        try:
            with open_table(path, options) as table:
                self._begin(place, table)
                stopped = self._copy(place, filename, table, path, options)
        except NotFound:
            raise  # deleted meanwhile, and the job with it
        except (FileProblem, Refused) as problem:
            if isinstance(problem, FileProblem):
                undo_rows(self.sessions, self.job_id)
            self.fail(str(problem))
            raise Refused(str(problem)) from problem
        status = JobStatus.STOPPED if stopped else JobStatus.DONE
        with self.sessions() as session, writing(session):
            job_queue.finish(session, self.job_id, self.worker, status, self.clock())
        logger.info("import %d: %s", self.job_id, status.value)
        with self.sessions() as session:
            return report(session, self.job_id)

    def _begin(self, place: Place, table: OpenTable) -> None:
        """Note what the file holds, and the new variables; kept when resumed."""
        names = table.layout.variable_names
        with self.sessions() as session, writing(session):
            place.hold(session)
            place.take_variables(session, names)
            job = session.get_one(Job, self.job_id)
            if job.result is None:
                highest = session.scalar(select(func.max(Recipient.id))) or 0
                found = {
                    **asdict(Counts()),
                    "columns": names,
                    "headers": titles(table.layout.headers, table.layout.email_column),
                    "after_id": highest,
                }
                job_queue.keep(session, self.job_id, self.worker, result=found, total=table.lines)

    def _copy(
        self, place: Place, filename: str, table: OpenTable, path: Path, options: ImportOptions
    ) -> bool:
        """Write all rows in steps; True if it was stopped."""
        with bulk_session(self.sessions) as session:
            job = session.get_one(Job, self.job_id)
            result, total = dict(job.result or {}), job.total
            target = Target(place.campaign_id, self.job_id, filename, address_key_secret(session))
            session.rollback()
            counts = Counts(**{name: result[name] for name in asdict(Counts())})
            size = _FIRST_STEP if is_sqlite(session) else _STEP_ON_POSTGRES
            with (
                closing(_judged(place, table, path, options, target, counts.rows)) as pieces,
                closing(Checkpoints(session)) as checkpoints,
            ):
                others_until = 0.0
                while (batch := import_batches.gathered(pieces, size)).rows:
                    with writing(session):
                        began = time.perf_counter(), time.thread_time()
                        place.hold(session)
                        counts = counts.plus(place.write(session, batch, target, self.clock()))
                        stop = job_queue.keep(
                            session,
                            self.job_id,
                            self.worker,
                            done=counts.rows,
                            result={**result, **asdict(counts)},
                        )
                        if someone_waits(session):
                            others_until = time.monotonic() + _OTHERS_STAY
                    if is_sqlite(session):
                        took = time.perf_counter() - began[0], time.thread_time() - began[1]
                        wanted = _BESIDE_OTHERS if time.monotonic() < others_until else _ALONE
                        size = _next_size(size, max(took[0] / _WAITING, took[1]), wanted)
                    checkpoints.step()
                    self.progress(counts.rows, total)
                    if stop or self.should_stop():
                        return True
            with writing(session):
                job_queue.keep(
                    session, self.job_id, self.worker, done=counts.rows, total=counts.rows
                )
        return False

    def fail(self, sentence: str) -> None:
        """End the job as failed, with the reason."""
        with self.sessions() as session, writing(session):
            job_queue.finish(
                session, self.job_id, self.worker, JobStatus.FAILED, self.clock(), error=sentence
            )


def report(session: Session, job_id: int) -> ImportReport:
    """The report of an import as far as it is, with the first refused rows."""
    job = session.get_one(Job, job_id)
    result = job.result or {}
    rows = session.execute(
        select(RefusedRow.line, RefusedRow.value, RefusedRow.reason)
        .where(RefusedRow.job_id == job_id)
        .order_by(RefusedRow.line)
        .limit(_SHOWN_REFUSED)
    )
    return ImportReport(
        job_id,
        Counts(**{name: result.get(name, 0) for name in asdict(Counts())}),
        tuple(RefusedLine(*row) for row in rows),
        tuple(result.get("columns", ())),
        stopped=job.status is JobStatus.STOPPED,
    )


def undo_import(sessions: sessionmaker[Session], job_id: int, now: datetime) -> int:
    """Take back everything one import added, suppressions included; how many rows that was.

    Raises Refused once the campaign was launched, or while the import runs.
    """
    with sessions() as session:
        job = session.get(Job, job_id)
        if job is None or job.kind is not JobKind.IMPORT or job.campaign_id is None:
            raise Refused(f"There is no import {job_id}.")
        if job.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            raise Refused("This import is still running: stop it first.")
        importable(session, job.campaign_id)
    removed = undo_rows(sessions, job_id)
    with sessions() as session, writing(session):
        note_undone(session, job_id, removed, now)
    return removed


def note_undone(session: Session, job_id: int, removed: int, now: datetime) -> None:
    """Say with the job that what it had added is gone again."""
    job = session.get_one(Job, job_id)
    job.status = JobStatus.STOPPED
    job.error = f"Undone: {removed:,} that it had added were taken out again."
    job.result = {**(job.result or {}), **asdict(Counts()), "undone": removed}
    job.finished_at = now


def undo_rows(sessions: sessionmaker[Session], job_id: int) -> int:
    """Delete the rows of an import in short steps, counters with them; how many they were."""
    removed = 0
    with bulk_session(sessions) as session:
        job = session.get_one(Job, job_id)
        campaign_id, after = job.campaign_id, int((job.result or {}).get("after_id", 0))
        session.rollback()
        if campaign_id is None or job.result is None:
            return 0
        while True:
            with writing(session):
                importable(session, campaign_id)
                last, gone = _undo_step(session, campaign_id, job_id, after)
            removed += gone
            if last is None:
                break
            after = last
        with writing(session):
            session.execute(delete(RefusedRow).where(RefusedRow.job_id == job_id))
    suppression.withdraw_import(sessions, job_id)
    return removed


def _undo_step(
    session: Session, campaign_id: int, job_id: int, after: int
) -> tuple[int | None, int]:
    """Delete this import's rows among the next ones by id; the last id looked at, how many."""
    rows = session.execute(
        select(Recipient.id, Recipient.import_id, Recipient.status)
        .where(Recipient.id > after)
        .order_by(Recipient.id)
        .limit(_UNDO_STEP)
    ).all()
    if not rows:
        return None, 0
    ours = [row for row in rows if row.import_id == job_id]
    session.execute(delete(Recipient).where(Recipient.id.in_([row.id for row in ours])))
    pending = sum(1 for row in ours if row.status is RecipientStatus.PENDING)
    counters.add(
        session,
        {
            campaign_id: {
                "total": -len(ours),
                RecipientStatus.PENDING.value: -pending,
                RecipientStatus.SKIPPED.value: pending - len(ours),
            }
        },
    )
    return rows[-1].id, len(ours)


def _next_size(size: int, seconds: float, wanted: float) -> int:
    """A step size nearer to the time a step may take."""
    ratio = min(1.5, max(0.25, wanted / max(seconds, 1e-4)))
    return min(_LARGEST, max(_SMALLEST, int(size * ratio)))


def _judged(
    place: Place, table: OpenTable, path: Path, options: ImportOptions, target: Target, done: int
) -> Generator[Batch, None, None]:
    """The rows after the first `done`, judged; those of a large text file by another process."""
    large = table.workbook is None and path.stat().st_size > import_ahead.WORTH_IT
    if large and isinstance(place, CampaignPlace):
        yield from import_ahead.batches(path, options.as_parameters(), target, done)
        return
    rows = recipient_rows(table.rows, table.layout)
    for _ in islice(rows, done):
        pass
    while chunk := list(islice(rows, PIECE)):
        yield place.prepare(chunk, target)

"""A first look at an uploaded file: how it reads, from its beginning only, so that the page of a
large file is there at once. What a person changes is given as ImportOptions.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from domain.file_problems import FileProblem
from domain.recipient_files import SAMPLE_ROWS, Layout, look, renamed
from domain.text_tables import TableRow, TextFormat, count_lines, detect_format, read_rows
from models import Upload
from services import uploads
from services.campaigns import NotFound
from services.recipients import ImportOptions
from services.spreadsheets import Workbook, convert, is_workbook, numbered_rows

#: So much of a text file is looked at (bytes).
_BEGINNING = 4 * uploads.CHUNK


@dataclass(frozen=True, slots=True)
class FileLook:
    """What the beginning of a file holds. `layout` None: no row could be read at all; `problem`:
    what must be changed before it can be imported; `whole`: these rows are all there are."""

    upload_id: int
    filename: str
    size: int
    rows: tuple[TableRow, ...]
    text: TextFormat | None
    workbook: Workbook | None
    layout: Layout | None
    problem: str | None
    whole: bool
    about: int | None  # rows there probably are

    @property
    def header_line(self) -> int:
        """The line of the header; 0 = there is none."""
        return (self.layout.header_line or 0) if self.layout else 0


def look_at(
    sessions: sessionmaker[Session], campaign_id: int, upload_id: int, options: ImportOptions
) -> FileLook:
    """Read the beginning of an upload of this campaign. Raises NotFound, and FileProblem for
    what is no table."""
    with sessions() as session:
        upload = kept_file(session, campaign_id, upload_id)
    filename, size = upload.filename, upload.size
    with tempfile.TemporaryDirectory(prefix="look-") as folder:
        path = Path(folder) / "upload"
        first = next(uploads.pieces(sessions, upload_id), b"")
        if is_workbook(first):
            uploads.save_to(sessions, upload_id, path)
            rows, text, workbook = _workbook_rows(path, Path(folder) / "rows.csv", options)
            about = None
        else:
            read = _save_beginning(sessions, upload_id, path)
            rows, text = _text_rows(path, options, cut=read < size)
            workbook = None
            with path.open("rb") as file:
                lines = count_lines(file)
            about = max(len(rows), round(size / max(1, read) * lines))
    whole = len(rows) < SAMPLE_ROWS and (workbook is not None or size <= _BEGINNING)
    layout, problem = _layout(rows, options)
    return FileLook(
        upload_id, filename, size, tuple(rows), text, workbook, layout, problem, whole, about
    )


def kept_file(session: Session, campaign_id: int, upload_id: int) -> Upload:
    """An upload of this campaign; raises NotFound once it is not kept any more."""
    upload = session.get(Upload, upload_id)
    if upload is None or upload.campaign_id != campaign_id:
        raise NotFound("This file is not kept any more: upload it again.")
    return upload


def _layout(rows: list[TableRow], options: ImportOptions) -> tuple[Layout | None, str | None]:
    """How the rows are understood; where no column holds addresses a person may name it."""
    if not rows:
        return None, "The file is empty."
    try:
        layout, _ = look(
            iter(rows), header_line=options.header_line, email_column=options.email_column
        )
    except FileProblem as problem:
        try:
            layout, _ = look(iter(rows), header_line=options.header_line, email_column=0)
        except FileProblem:
            return None, str(problem)
        return replace(layout, email_column=-1), str(problem)
    return renamed(layout, options.names), None


def _workbook_rows(
    path: Path, target: Path, options: ImportOptions
) -> tuple[list[TableRow], None, Workbook]:
    workbook = convert(path, target, options.sheet, rows=SAMPLE_ROWS)
    with target.open("rb") as file:
        return list(numbered_rows(file)), None, workbook


def _text_rows(
    path: Path, options: ImportOptions, *, cut: bool
) -> tuple[list[TableRow], TextFormat]:
    with path.open("rb") as file:
        text = detect_format(file, encoding=options.encoding, delimiter=options.delimiter)
        reader = read_rows(file, text)
        rows = list(islice(reader, SAMPLE_ROWS))
        reader.close()
    if cut and 1 < len(rows) < SAMPLE_ROWS:
        rows.pop()  # it may go on behind the beginning
    return rows, text


def _save_beginning(sessions: sessionmaker[Session], upload_id: int, path: Path) -> int:
    """Write the first bytes up to the end of a line; how many they are."""
    head = bytearray()
    for piece in uploads.pieces(sessions, upload_id):
        head += piece
        if len(head) >= _BEGINNING:
            end = max(head.rfind(b"\n"), head.rfind(b"\r")) + 1
            head = head[:end] if end else head
            break
    return path.write_bytes(head)

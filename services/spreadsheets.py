"""Reads a workbook (XLSX, XLSM, XLS, ODS) in a child process with limits; out comes CSV."""

from __future__ import annotations

import csv
import io
import json
import logging
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import domain.spreadsheet_child
from domain.file_problems import FileProblem
from domain.text_tables import TableRow

logger = logging.getLogger(__name__)

_CHILD = Path(domain.spreadsheet_child.__file__)
_SECONDS = 120
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_UNREADABLE = (
    "This workbook cannot be read. Open it in your spreadsheet program and save it as .xlsx or CSV."
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of a workbook, for the sheet picker."""

    name: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class Workbook:
    """What was read: the sheets there are and the one that is now rows."""

    sheets: tuple[Sheet, ...]
    sheet: str


def is_workbook(head: bytes) -> bool:
    """Whether the first bytes are those of a workbook (ZIP package or OLE container)."""
    return head.startswith((_ZIP, _OLE))


def convert(
    source: Path, target: Path, sheet: str | None = None, *, rows: int | None = None
) -> Workbook:
    """Write one sheet of `source` as numbered CSV rows to `target` (see `numbered_rows`).

    The first visible sheet that holds anything, unless one is named; only the first `rows` if a
    number is given. Raises FileProblem with a sentence for workbooks that are protected, hostile
    or broken.
    """
    answer = _run_child("calamine", source, target, sheet, rows)
    if answer is None or "failed" in answer:
        logger.info("calamine gave up on a workbook: %s", answer)
        answer = _run_child("sparse", source, target, sheet, rows)
    if answer is None or "failed" in answer:
        logger.info("the second reader gave up on a workbook: %s", answer)
        raise FileProblem(_UNREADABLE)
    if "refused" in answer:
        raise FileProblem(str(answer["refused"]))
    sheets = tuple(Sheet(one["name"], one["hidden"]) for one in answer["sheets"])
    return Workbook(sheets, answer["sheet"])


def numbered_rows(file: BinaryIO) -> Generator[TableRow]:
    """The rows that `convert` wrote, under their numbers in the sheet."""
    file.seek(0)
    stream = io.TextIOWrapper(file, "utf-8", newline="")
    try:
        for number, *cells in csv.reader(stream):
            yield TableRow(int(number), cells)
    finally:
        stream.detach()


def _run_child(
    reader: str, source: Path, target: Path, sheet: str | None, rows: int | None
) -> dict[str, Any] | None:
    """The child's answer, or None if it died or took too long."""
    command = [sys.executable, "-I", str(_CHILD), reader, str(source), str(target), str(rows or 0)]
    try:
        done = subprocess.run(
            [*command, sheet] if sheet is not None else command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    try:
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None

"""Rows of a delimited text file, streamed, each with the physical line it begins on.

Nothing is dropped in silence: a row that breaks the rules of quoting comes out with its fault,
and reading goes on with the next line.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from domain.file_problems import FileProblem
from domain.text_encodings import detect_encoding

DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 1_000
MAX_LINE = 2_000_000
#: A quoted cell over more lines than this is a quotation mark that was never closed.
MAX_LINES_IN_A_CELL = 300
_MAX_RUNAWAYS = 100
_SAMPLE = 65_536
_ADDRESS = re.compile(r"[^\s@,;|<>\"]+@[^\s@,;|<>\"]+\.[^\s@,;|<>\"]+")

csv.field_size_limit(MAX_LINE)


class TableRow(NamedTuple):
    """One row: the line it begins on (from 1), its cells, and what is wrong with its form."""

    line: int
    cells: list[str]
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How a text file is to be read. `encoding_is_certain` is False for a guess."""

    encoding: str
    delimiter: str
    encoding_is_certain: bool = True
    backslash: bool = False  # quotes inside quotes are written \\" instead of ""
    spaced: bool = False  # a space follows each delimiter, before the quotation mark


def count_lines(file: BinaryIO) -> int:
    """About how many lines a file has, without decoding it; the last may have no end."""
    lines, end = 0, b"\n"
    file.seek(0)
    while piece := file.read(1 << 20):
        lines += piece.count(b"\n") or piece.count(b"\r")
        end = piece[-2:]  # in UTF-16 a zero stands beside the end of the line
    return lines + (not {10, 13} & set(end))


def detect_format(
    file: BinaryIO, *, encoding: str | None = None, delimiter: str | None = None
) -> TextFormat:
    """The format of a text file; what is given is taken as given. Raises FileProblem."""
    found = detect_encoding(file) if encoding is None else None
    name = encoding or (found.name if found else "utf-8")
    file.seek(0)
    try:
        text = file.read(_SAMPLE * 2).decode(name, errors="replace")[:_SAMPLE].replace("\0", "")
    except LookupError:
        raise FileProblem(f"The encoding “{name}” is not known here.") from None
    file.seek(0)
    backslash = '\\"' in text and '""' not in text.replace('\\""', "")
    chosen = delimiter or _delimiter(text, backslash)
    spaced = re.search(rf'(^|[^"]){re.escape(chosen)} +"', text) is not None
    return TextFormat(name, chosen, found.certain if found else True, backslash, spaced)


def read_rows(file: BinaryIO, form: TextFormat) -> Generator[TableRow]:
    """All rows that are not blank, from the start; raises FileProblem for what is no table.

    Close the generator before the file if not all is read.
    """
    file.seek(0)
    stream = io.TextIOWrapper(file, form.encoding, errors="replace", newline="")
    try:
        yield from _rows(_Lines(stream), form)
    finally:
        stream.detach()


def _rows(lines: _Lines, form: TextFormat) -> Iterator[TableRow]:
    runaways = 0
    reader = _reader(lines, form)
    while True:
        lines.taken.clear()
        line = lines.number + 1
        try:
            for cells in reader:
                if len(cells) > MAX_COLUMNS:
                    raise FileProblem(
                        f"Line {line} has {len(cells):,} columns; at most {MAX_COLUMNS:,} are read."
                    )
                if any(cells) and not (line == 1 and len(cells) <= 2 and _is_sep(cells)):
                    yield TableRow(line, cells)
                lines.taken.clear()
                line = lines.number + 1
            return
        except csv.Error as error:
            fault = _fault(str(error))
        except _Runaway:
            runaways += 1
            fault = "A quotation mark opens in this line and is never closed."
            if runaways > _MAX_RUNAWAYS:
                raise FileProblem(
                    f"From line {line} on, quotation marks are not closed. Save the file anew."
                ) from None
        first, *later = lines.taken
        lines.push_back(later)
        mended = _without_spaces_after_quotes(first, form)
        if mended is None:
            mended = TableRow(line, next(csv.reader([first], delimiter=form.delimiter)), fault)
        yield mended._replace(line=line)
        reader = _reader(lines, form)


def _reader(lines: Iterator[str], form: TextFormat) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        delimiter=form.delimiter,
        skipinitialspace=form.spaced,
        escapechar="\\" if form.backslash else None,
        doublequote=not form.backslash,
        strict=True,
    )


class _Runaway(Exception):
    """A cell went on over too many lines."""


class _Lines:
    """Physical lines (CR, LF or CRLF), numbered; those of the present record can be put back."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._readline = stream.readline
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._readline(MAX_LINE)
        if not line:
            raise StopIteration
        if len(line) >= MAX_LINE:
            raise FileProblem(
                f"Line {self.number + 1} is longer than {MAX_LINE:,} characters: this is no table."
            )
        if len(self.taken) >= MAX_LINES_IN_A_CELL:
            self._back.appendleft(line)
            raise _Runaway
        if "\0" in line:
            line = line.replace("\0", "")
        self.number += 1
        self.taken.append(line)
        return line

    def push_back(self, lines: list[str]) -> None:
        """Give lines again that were taken already."""
        self.number -= len(lines)
        self._back.extendleft(reversed(lines))


def _without_spaces_after_quotes(line: str, form: TextFormat) -> TableRow | None:
    """The row, if spaces between a closing quotation mark and the delimiter were all its fault."""
    mended = re.sub(rf'(?<!")"[ \t]+(?={re.escape(form.delimiter)}|[\r\n]|$)', '"', line)
    try:
        return TableRow(0, next(_reader(iter([mended]), form)))
    except csv.Error:
        return None


def _is_sep(cells: list[str]) -> bool:
    """Excel's own first line that names the delimiter, `sep=;`."""
    return cells[0].strip('"').lower().startswith("sep=") and not any(cells[1:])


def _fault(words: str) -> str:
    if "unexpected end" in words:
        return "A quotation mark opens in this line and is never closed."
    if "expected after" in words:
        return "A quotation mark inside a quoted cell is not doubled."
    return f"This line is not readable as CSV ({words})."


def _delimiter(text: str, backslash: bool) -> str:
    """The delimiter that gives the most even records, cells that are addresses counting most."""
    named = re.match(r'"?sep=(.)', text, re.I)
    if named and named[1] in DELIMITERS:
        return named[1]
    cut = text if len(text) < _SAMPLE else text[: max(text.rfind("\n"), text.rfind("\r")) + 1]
    scores = [(_evenness(cut or text, sign, backslash), sign) for sign in DELIMITERS]
    best, sign = max(scores, key=lambda pair: pair[0])  # the first of equals: the comma
    return sign if best > (0, 0, 0) else ","


def _evenness(text: str, delimiter: str, backslash: bool) -> tuple[float, float, int]:
    form = TextFormat("utf-8", delimiter, backslash=backslash)
    reader = _reader(iter(io.StringIO(text, newline="").readlines()), form)
    records: list[list[str]] = []
    try:
        for record in reader:
            if any(record):
                records.append(record)
            if len(records) >= 200:
                break
    except csv.Error:
        pass
    lengths = Counter(len(record) for record in records)
    wide = {length: count for length, count in lengths.items() if length > 1}
    if not wide:
        return (0, 0, 0)
    common = max(wide, key=lambda length: (wide[length], length))
    clean = sum(any(_ADDRESS.fullmatch(cell.strip()) for cell in record) for record in records)
    return (round(clean / len(records), 1), wide[common] / len(records), common)

"""From the rows of a table to recipients: where the header is, which column is the address,
what the other columns are called, and what is wrong with a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import NamedTuple

from domain.addresses import undecorated
from domain.file_problems import FileProblem
from domain.recipient_headers import SaidNo, address_rank, said_no, status_columns
from domain.rejects import is_rejects, own_rows
from domain.text_tables import TableRow
from domain.variable_names import variable_name

#: Rows looked at to understand a file, and rows among which a header is expected.
SAMPLE_ROWS = 500
_HEADER_WITHIN = 50
_ADDRESS = re.compile(r"[^\s@<>,;\"()]+@[^\s@<>,;\"()]+\.[^\s@<>,;\"()]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a table are understood; each part can be changed by a person.

    `header_line` None: the file has no header. `variables` maps a template variable to the
    column it comes from; `statuses` are the columns that may say no (see recipient_headers).
    """

    headers: tuple[str, ...]
    header_line: int | None
    email_column: int
    variables: tuple[tuple[str, int], ...]
    statuses: tuple[tuple[int, str, str], ...] = ()
    sample: tuple[TableRow, ...] = field(default=(), compare=False)

    @property
    def variable_names(self) -> list[str]:
        """The names, in column order."""
        return [name for name, _ in self.variables]


class RecipientRow(NamedTuple):
    """One row below the header: the text of its address cell, its variables, and either what
    is wrong with the row's form or why the file says not to mail it."""

    line: int
    value: str
    variables: dict[str, str]
    cells: list[str]
    fault: str | None
    said_no: SaidNo | None


def look(
    rows: Iterator[TableRow], *, header_line: int | None = None, email_column: int | None = None
) -> tuple[Layout, Iterator[TableRow]]:
    """Understand a table from its first rows; returns the layout and the rows below the header.

    What a person chose is given: `header_line` (0 = there is no header) and `email_column`
    (from 0). Raises FileProblem if the file is empty or no column holds addresses.
    """
    sample = list(islice(rows, SAMPLE_ROWS))
    if not sample:
        raise FileProblem("The file is empty.")
    header = _header_index(sample) if header_line is None else _given(sample, header_line)
    below = sample if header is None else sample[header + 1 :]
    if header is None:
        below = below[_first_with_address(below) if email_column is None else 0 :]
        headers = tuple("" for _ in range(max((len(row.cells) for row in below), default=0)))
    else:
        headers = tuple(cell.strip() for cell in sample[header].cells)
    if is_rejects(headers):
        headers = headers[:-2]
        below, rows = list(own_rows(below, len(headers))), own_rows(rows, len(headers))
    column = _email_column(headers, below) if email_column is None else email_column
    if column is None or not 0 <= column < max(1, len(headers)):
        raise FileProblem(_no_address_column(sample, headers))
    layout = Layout(
        headers,
        None if header is None else sample[header].line,
        column,
        tuple(_variables(headers, column, below)),
        status_columns(headers),
        tuple(below[:20]),
    )
    return layout, chain(below, rows)


def recipient_rows(rows: Iterable[TableRow], layout: Layout) -> Iterator[RecipientRow]:
    """Each row of the table as a recipient; faulty rows come out with their fault."""
    width, column, pairs = len(layout.headers), layout.email_column, layout.variables
    for line, cells, fault in rows:
        count = len(cells)
        if count > width and fault is None and cells[width].strip():
            fault = (
                f"The row has {count} cells, the header has {width}: a delimiter too many, or "
                "quotation marks are missing."
            )
        value = cells[column] if column < count else ""
        variables = {name: cells[at].strip() if at < count else "" for name, at in pairs}
        no = None
        for at, plain, header in layout.statuses:
            if at < count and cells[at] and (no := said_no(plain, header, cells[at])):
                break
        yield RecipientRow(line, value, variables, cells, fault, no)


def renamed(layout: Layout, names: dict[int, str | None]) -> Layout:
    """The layout with other variable names by column; None leaves a column out."""
    pairs: list[tuple[str, int]] = []
    taken: set[str] = set()
    for name, at in layout.variables:
        wanted = names.get(at, name)
        if wanted is None:
            continue
        unique = variable_name(wanted, taken)
        taken.add(unique)
        pairs.append((unique, at))
    return replace(layout, variables=tuple(pairs))


def _given(sample: Sequence[TableRow], header_line: int) -> int | None:
    if header_line == 0:
        return None
    for index, row in enumerate(sample):
        if row.line == header_line:
            return index
    raise FileProblem(f"There is no row in line {header_line} that could be the header.")


def _header_index(sample: Sequence[TableRow]) -> int | None:
    """Which row is the header: one that names an address column, or the one above the first
    address. None = the file has no header."""
    start = sample[:_HEADER_WITHIN]
    for rank in (2, 1):
        for index, row in enumerate(start):
            if _has_address(row):
                break
            named = [at for at, cell in enumerate(row.cells) if address_rank(cell) >= rank]
            if named and (rank == 2 or any(_addresses(sample[index:], at) for at in named)):
                return index
    first = _first_with_address(sample)
    if first == 0 or first >= len(sample):
        return None
    above, row = sample[first - 1], sample[first]
    column = next(at for at, cell in enumerate(row.cells) if looks_like_address(cell))
    same_shape = len(above.cells) > column and above.cells[column].strip() != ""
    return first - 1 if same_shape and above.fault is None else None


def _email_column(headers: Sequence[str], below: Sequence[TableRow]) -> int | None:
    """The column whose header and content speak most for addresses; None if none does."""
    best, best_score = None, 0.0
    for at, header in enumerate(headers):
        filled = sum(1 for row in below if at < len(row.cells) and row.cells[at].strip())
        share = _addresses(below, at) / filled if filled else 0.0
        score = 0.6 * address_rank(header) + 1.5 * share
        if score > best_score + 1e-9 and (share > 0 or address_rank(header) == 2):
            best, best_score = at, score
    return best


def _variables(
    headers: Sequence[str], column: int, below: Sequence[TableRow]
) -> Iterator[tuple[str, int]]:
    taken: set[str] = set()
    for at, header in enumerate(headers):
        if at == column:
            continue
        used = any(at < len(row.cells) and row.cells[at].strip() for row in below)
        if not header and not used:
            continue
        name = variable_name(header or f"column {at + 1}", taken)
        taken.add(name)
        yield name, at


def _addresses(rows: Sequence[TableRow], at: int) -> int:
    return sum(1 for row in rows if at < len(row.cells) and looks_like_address(row.cells[at]))


def looks_like_address(cell: str) -> bool:
    """Whether a cell has the form of an address at first sight; `check_syntax` judges."""
    return "@" in cell and _ADDRESS.fullmatch(undecorated(cell)) is not None


def _has_address(row: TableRow) -> bool:
    return any(looks_like_address(cell) for cell in row.cells)


def _first_with_address(rows: Sequence[TableRow]) -> int:
    return next((index for index, row in enumerate(rows) if _has_address(row)), len(rows))


def _no_address_column(sample: Sequence[TableRow], headers: Sequence[str]) -> str:
    seen = [name for name in (headers or sample[0].cells) if name.strip()] or sample[0].cells
    listed = ", ".join(f"“{name.strip()[:40]}”" for name in seen[:12])
    return (
        f"No column with e-mail addresses was found. The first row reads: {listed}. "
        "Give the column with the addresses the header “email”."
    )

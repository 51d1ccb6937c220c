"""The file of refused rows: how cells are written so that no spreadsheet runs them, and how such
a file is known and read when it comes back mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from domain.text_tables import TableRow

#: The columns that a file of refused rows has beyond its own.
REASON_HEADER, LINE_HEADER = "why refused", "line"
_ADDED = (REASON_HEADER, LINE_HEADER)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def defused(cell: str) -> str:
    """The cell with an apostrophe in front if a spreadsheet would take it for a formula.

    Plain numbers stay, telephone numbers such as `+49 170` and negative amounts too.
    """
    if not cell.startswith(_FORMULA_STARTS):
        return cell
    if cell[0] in "+-" and cell[1:2].isdigit() and set(cell[1:]) <= set("0123456789 .,()/-"):
        return cell
    return f"'{cell}"


def restored(cell: str) -> str:
    """What `defused` was given."""
    return cell[1:] if cell.startswith("'") and defused(cell[1:]) == cell else cell


def is_rejects(headers: Sequence[str]) -> bool:
    """Whether these are the headers of a file of refused rows."""
    return tuple(header.strip().casefold() for header in headers[-2:]) == _ADDED


def own_rows(rows: Iterable[TableRow], width: int) -> Iterator[TableRow]:
    """The rows of such a file as they were once: `width` columns, the two added ones taken out,
    cells too many still at the end."""
    for line, cells, fault in rows:
        own = [restored(cell) for cell in (*cells[:width], *cells[width + len(_ADDED) :])]
        yield TableRow(line, own, fault)


def titles(headers: Sequence[str], email_column: int) -> list[str]:
    """Headers to write such a file with: names where the file it came from had none."""
    if any(headers):
        return list(headers)
    return ["email" if at == email_column else f"column {at + 1}" for at in range(len(headers))]

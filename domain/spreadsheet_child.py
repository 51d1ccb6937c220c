"""Runs in a child process of its own, with limits: turns one sheet of a workbook into CSV.

`python -I domain/spreadsheet_child.py READER FILE OUTPUT ROWS [SHEET]`, READER being calamine or
sparse, writes rows as `row number, cell, …` to OUTPUT (the first ROWS, 0 = all), and on stdout one
JSON line: the sheets and which one was read. A legal workbook of 5 KB can make a reader ask for
500 GB and abort the process, which no exception handler sees; so nothing of a workbook is read
anywhere else.
"""

from __future__ import annotations

import csv
import json
import mmap
import resource
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

MEMORY = 1_200 * 1024 * 1024
CPU_SECONDS = 60
MAX_UNPACKED = 1_500_000_000
FREE_UNPACKED = 300_000_000  # up to here any ratio is fine
MAX_RATIO = 100
MAX_ROWS = 1_048_576
MAX_COLUMNS = 1_000
#: The stream in which Office keeps an encrypted workbook ([MS-OFFCRYPTO] 2.3.4.1).
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_PROTECTED = "This workbook is protected by a password. Remove it and upload the file again."


class Refused(Exception):
    """The workbook is not read; the text is a sentence for the person who uploaded it."""


def main(
    reader: str, path: str, output: str, first: str = "0", wanted: str | None = None
) -> dict[str, Any]:
    """Convert; the answer is `{"sheets": [...], "sheet": name}` or `{"refused": sentence}`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        path = named_by_content(path, output, check_package(path))
        read = calamine_rows if reader == "calamine" else sparse_rows
        sheets, name, rows = read(path, wanted)
        with Path(output).open("w", encoding="utf-8", newline="") as target:
            write_rows(csv.writer(target), islice(rows, int(first) or None))
    except Refused as refused:
        return {"refused": str(refused)}
    except MemoryError:
        return {"refused": "This workbook needs too much memory. Save the sheet as CSV."}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:300]}
    return {"sheets": sheets, "sheet": name}


def named_by_content(path: str, output: str, suffix: str) -> str:
    """The file under a name that ends as its content does: readers go by the name."""
    link = Path(output).with_name("workbook" + suffix)
    link.unlink(missing_ok=True)
    link.symlink_to(Path(path).resolve())
    return str(link)


def check_package(path: str) -> str:
    """The ending that the name of such a file should have; raises Refused for a ZIP package that
    unpacks beyond measure or declares entities (bombs, XXE).

    Sizes in a directory can lie, so every part is unpacked once, in pieces, and counted.
    """
    with Path(path).open("rb") as file:
        if file.read(4) != b"PK\x03\x04":  # an OLE container (.xls), maybe with a ZIP inside
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content.find(_ENCRYPTED) >= 0:
                    raise Refused(_PROTECTED)
            return ".xls"
    with zipfile.ZipFile(path) as package:
        parts = package.infolist()
        names = {part.filename for part in parts}
        if not any(name.startswith("xl/") for name in names) and "content.xml" not in names:
            raise Refused("This is an archive, not a workbook: unpack it and upload the table.")
        packed = max(1, sum(part.compress_size for part in parts))
        limit = min(MAX_UNPACKED, max(FREE_UNPACKED, MAX_RATIO * packed))
        if sum(part.file_size for part in parts) > limit:
            raise Refused("This workbook unpacks to far more than its size: it is not read.")
        for part in parts:
            limit -= _unpacked(package, part, limit)
    if "content.xml" in names:
        return ".ods"
    return ".xlsb" if "xl/workbook.bin" in names else ".xlsx"


def _unpacked(package: zipfile.ZipFile, part: zipfile.ZipInfo, limit: int) -> int:
    if part.flag_bits & 1:
        raise Refused("This workbook is protected by a password: remove it first.")
    size = 0
    with package.open(part) as stream:
        while piece := stream.read(1 << 20):
            if size == 0 and _declares_entities(piece):
                raise Refused("This workbook declares XML entities: it is not read.")
            size += len(piece)
            if size > limit:
                raise Refused("This workbook unpacks to far more than its size: it is not read.")
    return size


def _declares_entities(start: bytes) -> bool:
    head = start[:65536].replace(b"\0", b"").lower()  # UTF-16 as well
    return b"<!entity" in head


def calamine_rows(path: str, wanted: str | None) -> tuple[list[dict[str, Any]], str, Any]:
    """Sheets, the name of the one read, and its rows, through python-calamine."""
    from python_calamine import (
        CalamineWorkbook,
        PasswordError,
        SheetTypeEnum,
        SheetVisibleEnum,
    )

    try:
        book = CalamineWorkbook.from_path(path)
    except PasswordError:
        raise Refused(_PROTECTED) from None
    tables = [sheet for sheet in book.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    visible = {sheet.name: sheet.visible == SheetVisibleEnum.Visible for sheet in tables}
    seen: dict[str, Any] = {}

    def rows_of(name: str) -> Any:
        if name not in seen:
            seen[name] = book.get_sheet_by_name(name)
        return seen[name]

    name = _choose(visible, wanted, lambda name: rows_of(name).start is not None)
    sheet = rows_of(name)
    if sheet.end is not None and sheet.end[1] >= MAX_COLUMNS:
        raise Refused(
            f"The sheet “{name}” is {sheet.end[1] + 1:,} columns wide; "
            f"at most {MAX_COLUMNS:,} are read."
        )
    found = _listed(visible)
    rows = sheet.iter_rows() if sheet.start is not None else ()
    numbered = enumerate(rows, start=1)  # from the first row on, blank or not
    return found, name, _with_merged(numbered, sheet.merged_cell_ranges or [])


def _with_merged(
    rows: Iterable[tuple[int, list[Any]]], ranges: list[tuple[tuple[int, int], tuple[int, int]]]
) -> Iterator[tuple[int, list[Any]]]:
    """The rows, the value of merged cells in each cell that they cover, as a person sees it.
    (XLSX and XLS; readers tell nothing of merged cells in ODS.)"""
    begin: dict[int, list[tuple[int, int, int]]] = {}
    for (top, left), (bottom, right) in ranges:
        begin.setdefault(top + 1, []).append((bottom + 1, left, right + 1))
    covered: list[tuple[int, int, int, Any]] = []
    for number, row in rows:
        if covered or number in begin:
            covered = [one for one in covered if one[0] >= number]
            for bottom, left, right in begin.get(number, ()):
                covered.append((bottom, left, right, row[left] if left < len(row) else None))
            for _, left, right, value in covered:
                places = range(left, min(right, len(row)))
                row[left:right] = [value for _ in places]
        yield number, row


def sparse_rows(path: str, wanted: str | None) -> tuple[list[dict[str, Any]], str, Any]:
    """The same for a sheet that calamine gave up on, streaming: slower, but blank rows by the
    million and one cell far away cost it no memory. Cells beyond the last column are left out."""
    if zipfile.is_zipfile(path) and "content.xml" in zipfile.ZipFile(path).namelist():
        return _ods_rows(path, wanted)
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    visible = {sheet.title: sheet.sheet_state == "visible" for sheet in book.worksheets}
    name = _choose(visible, wanted, lambda name: True)
    rows = book[name].iter_rows(max_col=MAX_COLUMNS, values_only=True)
    filled = (
        (number, row) for number, row in enumerate(rows, start=1) if row.count(None) < len(row)
    )
    return _listed(visible), name, filled


_OFFICE, _TABLE, _TEXT = (
    f"{{urn:oasis:names:tc:opendocument:xmlns:{part}:1.0}}" for part in ("office", "table", "text")
)


def _ods_rows(path: str, wanted: str | None) -> tuple[list[dict[str, Any]], str, Any]:
    with zipfile.ZipFile(path) as package, package.open("content.xml") as content:
        names = [
            element.get(f"{_TABLE}name", "")
            for _, element in ElementTree.iterparse(content, ("start",))  # noqa: S314 - no entities
            if element.tag == f"{_TABLE}table"
        ]
    visible = dict.fromkeys(names, True)
    name = _choose(visible, wanted, lambda name: True)
    return _listed(visible), name, _ods_table(path, name)


def _ods_table(path: str, name: str) -> Iterator[tuple[int, list[str]]]:
    number, inside = 1, False
    with zipfile.ZipFile(path) as package, package.open("content.xml") as content:
        for event, element in ElementTree.iterparse(content, ("start", "end")):  # noqa: S314
            if element.tag == f"{_TABLE}table":
                inside = event == "start" and element.get(f"{_TABLE}name") == name
            elif event == "end" and element.tag == f"{_TABLE}table-row":
                times = int(element.get(f"{_TABLE}number-rows-repeated", 1))
                cells = _ods_cells(element) if inside else []
                for place in range(times if any(cells) else 0):
                    yield number + place, cells
                number += times if inside else 0
                element.clear()


def _ods_cells(row: ElementTree.Element) -> list[str]:
    cells: list[str] = []
    for cell in row:
        times = int(cell.get(f"{_TABLE}number-columns-repeated", 1))
        kind = cell.get(f"{_OFFICE}value-type")
        value = cell.get(f"{_OFFICE}date-value") or cell.get(f"{_OFFICE}value")
        if kind in ("date", "float", "currency", "percentage") and value:
            text = value.removesuffix("T00:00:00").replace("T", " ").removesuffix(".0")
        else:
            paragraphs = cell.findall(f"{_TEXT}p")
            text = "\n".join("".join(part.itertext()) for part in paragraphs)
        cells += [text] * min(times, MAX_COLUMNS - len(cells))
    return cells


def _listed(visible: dict[str, bool]) -> list[dict[str, Any]]:
    return [{"name": name, "hidden": not shown} for name, shown in visible.items()]


def _choose(visible: dict[str, bool], wanted: str | None, has_rows: Any) -> str:
    """The sheet that was asked for, or else the first visible one with anything in it."""
    if wanted is not None:
        if wanted not in visible:
            raise Refused(f"There is no sheet “{wanted}” in this workbook.")
        return wanted
    shown = [name for name, is_shown in visible.items() if is_shown] or list(visible)
    if not shown:
        raise Refused("There is no sheet in this workbook.")
    return next((name for name in shown if has_rows(name)), shown[0])


def write_rows(target: Any, rows: Iterable[tuple[int, Iterable[Any]]]) -> None:
    """Write the rows that are not blank, each with its number, trailing blanks left off."""
    for number, cells in rows:
        if number > MAX_ROWS:
            raise Refused(f"The sheet has more than {MAX_ROWS:,} rows.")
        shown = [as_shown(cell) for cell in cells]
        while shown and not shown[-1]:
            shown.pop()
        if shown:
            target.writerow([number, *shown[:16_384]])


def as_shown(value: Any) -> str:
    """A cell as a person sees it: whole numbers without `.0`, dates in ISO form."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("_x000D_", "").replace("\r\n", "\n").replace("\0", "")
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)) if whole else repr(round(value, 10))
    if isinstance(value, datetime):
        midnight = value.time() == time(0)
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))

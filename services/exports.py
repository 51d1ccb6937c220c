"""Exports of a campaign's recipients, of the rows an import refused, and of suppressions: CSV
and XLSX, read in keyset chunks, with no transaction open while a client downloads.

Contacts and events are in services.contact_export and services.event_export; the columns of all
of them are in docs/exports.md.

Cells that a spreadsheet would run as a formula are written as text (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from sqlalchemy import Table, select
from sqlalchemy.orm import Session, sessionmaker

from domain.rejects import LINE_HEADER, REASON_HEADER, defused
from domain.statuses import RecipientStatus, SuppressionReason, Verdict
from models import Campaign, Job, Recipient, RefusedRow, Suppression
from services.campaigns import NotFound, Refused
from services.recipient_list import normal_search
from services.suppression import prefix_range

#: The columns of a recipient export, before the campaign's variables. Stable: programs read them.
COLUMNS = (
    "email", "status", "reason_code", "reason", "message_id", "attempts", "sent_at",
    "delivered_at", "bounced_at", "complained_at", "opened_at", "clicked_at",
)  # fmt: skip
_TIMES = frozenset(name for name in COLUMNS if name.endswith("_at"))
_CHUNK = 2_000
#: Excel's own limits: rows on a sheet, characters in a cell.
_SHEET_ROWS, _CELL_LENGTH = 1_048_576, 32_767
_ROWS = cast(Table, Recipient.__table__)

Row = Sequence[str]


def recipient_rows(
    sessions: sessionmaker[Session],
    campaign_id: int,
    *,
    status: RecipientStatus | None = None,
    verdict: Verdict | None = None,
    text: str = "",
) -> Iterator[Row]:
    """The header, then every recipient in import order, or those in one state or of one verdict,
    or those whose address begins with `text` (`@domain` = whose domain does).

    Variables that have the name of a column come as `var_<name>`. Raises NotFound at once.
    """
    with sessions() as session:
        campaign = session.get(Campaign, campaign_id)
        if campaign is None:
            raise NotFound(f"There is no campaign {campaign_id}.")
        names = [str(name) for name in campaign.variables]
    heads = [f"var_{name}" if name in COLUMNS else name for name in names]
    columns = [_ROWS.c[name] for name in COLUMNS]
    query = select(_ROWS.c.id, _ROWS.c.variables, *columns).where(
        _ROWS.c.campaign_id == campaign_id
    )
    if status is not None:
        query = query.where(_ROWS.c.status == status)
    if verdict is not None:
        query = query.where(_ROWS.c.verdict == verdict)
    text = normal_search(text)
    if text.startswith("@"):
        query = query.where(prefix_range(_ROWS.c.domain, text[1:]))
    elif text:
        query = query.where(prefix_range(_ROWS.c.address, text))
    return _recipient_rows(sessions, query, names, [*COLUMNS, *heads])


def _recipient_rows(
    sessions: sessionmaker[Session], query: Any, names: list[str], header: list[str]
) -> Iterator[Row]:
    yield header
    for row in chunks(sessions, query, _ROWS.c.id):
        variables: dict[str, Any] = json.loads(row.variables)
        yield [
            *(shown(value) for value in row[2:]),
            *(str(variables.get(name, "")) for name in names),
        ]


def refused_rows(sessions: sessionmaker[Session], job_id: int) -> Iterator[Row]:
    """The rows an import refused, in their original columns with the reason added, so that the
    file can be put right and uploaded again. Raises Refused if there is no such import."""
    with sessions() as session:
        job = session.get(Job, job_id)
        if job is None:
            raise Refused(f"There is no import {job_id}.")
        headers = [str(name) for name in (job.result or {}).get("headers", [])]
    return _refused_rows(sessions, job_id, headers)


def _refused_rows(
    sessions: sessionmaker[Session], job_id: int, headers: list[str]
) -> Iterator[Row]:
    width = len(headers)
    yield [*headers, REASON_HEADER, LINE_HEADER]
    query = select(RefusedRow.line, RefusedRow.reason, RefusedRow.cells).where(
        RefusedRow.job_id == job_id
    )
    for row in chunks(sessions, query, RefusedRow.line):
        cells = [str(cell) for cell in row.cells]
        own, too_many = cells[:width], cells[width:]
        padding = [""] * (width - len(own))
        yield [*own, *padding, row.reason, str(row.line), *too_many]


def suppression_rows(
    sessions: sessionmaker[Session], reason: SuppressionReason | None = None
) -> Iterator[Row]:
    """The header, then every suppression whose address is known, oldest first; domains and
    wildcards are among them. The file can be imported as it is."""
    yield ["email", "reason", "source", "note", "campaign_id", "created_at"]
    query = select(
        Suppression.id,
        Suppression.address,
        Suppression.reason,
        Suppression.source,
        Suppression.note,
        Suppression.campaign_id,
        Suppression.created_at,
    ).where(Suppression.address.is_not(None))
    if reason is not None:
        query = query.where(Suppression.reason == reason)
    for row in chunks(sessions, query, Suppression.id):
        yield [shown(value) for value in row[1:]]


def csv_pieces(rows: Iterable[Row]) -> Iterator[bytes]:
    """CSV in UTF-8 without a mark, as programs expect it (for Excel there is XLSX)."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    for number, row in enumerate(rows, start=1):
        writer.writerow([defused(cell) for cell in row])
        if number % 500 == 0:
            yield _emptied(buffer)
    yield _emptied(buffer)


def write_xlsx(rows: Iterable[Row], target: Path) -> None:
    """An XLSX file of text cells, written row by row; more sheets where one is full."""
    book = Workbook(write_only=True)
    sheet, header, count = book.create_sheet("Export"), None, 0
    for row in rows:
        header = header or row
        if count == _SHEET_ROWS:
            sheet, count = book.create_sheet(), 1
            sheet.append([_text_cell(sheet, cell) for cell in header])
        sheet.append([_text_cell(sheet, cell) for cell in row])
        count += 1
    book.save(target)


def xlsx_pieces(rows: Iterable[Row]) -> Iterator[bytes]:
    """The same as a stream of bytes, through a temporary file."""
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / "export.xlsx"
        write_xlsx(rows, path)
        with path.open("rb") as file:
            while piece := file.read(65_536):
                yield piece


#: How rows become bytes, by the name of the format.
FORMATS: dict[str, Callable[[Iterable[Row]], Iterator[bytes]]] = {
    "csv": csv_pieces,
    "xlsx": xlsx_pieces,
}


def _text_cell(sheet: Any, cell: str) -> Any:
    """A string cell, whatever it looks like: never a formula, never a number."""
    text = ILLEGAL_CHARACTERS_RE.sub("", cell)[:_CELL_LENGTH]
    if not text.startswith(("=", "#")):
        return text
    made = WriteOnlyCell(sheet)
    made._value, made.data_type = text, "s"  # type: ignore[attr-defined]
    return made


def shown(value: Any) -> str:
    """A value as a cell: times in UTC with Z, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).isoformat(timespec="seconds")
        return moment.replace("+00:00", "Z")
    return str(value)


def _emptied(buffer: io.StringIO) -> bytes:
    data = buffer.getvalue().encode("utf-8", "replace")
    buffer.seek(0)
    buffer.truncate()
    return data


def chunks(sessions: sessionmaker[Session], query: Any, key: Any) -> Iterator[Any]:
    """All rows of a query in the order of `key`, which is its first column; each chunk is read
    in a session of its own."""
    after: int | None = None
    while True:
        part = query if after is None else query.where(key > after)
        with sessions() as session:
            rows = session.execute(part.order_by(key).limit(_CHUNK)).all()
        yield from rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1][0]

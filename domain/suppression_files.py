"""Files for the suppression list: which column holds addresses or domains, and what a reason in
it means. Such a file may hold nothing but domains, and may have no header.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.addresses import AddressProblem, ParsedAddress, check_syntax
from domain.file_problems import FileProblem
from domain.recipient_files import RecipientRow, looks_like_address
from domain.recipient_headers import address_rank, plain_header, said_no
from domain.statuses import SuppressionReason
from domain.suppression_patterns import Pattern, parse_pattern
from domain.text_tables import TableRow

_REASON_HEADERS = frozenset(("reason", "suppressionreason", "type", "cause", "grund", "motif"))
_NOTE_HEADERS = frozenset(("note", "notes", "comment", "notiz", "remarque"))
#: How SES calls them, beside this product's own names of reasons.
_OF_SES = {"bounce": SuppressionReason.BOUNCED, "complaint": SuppressionReason.COMPLAINED}
_OWN = {plain_header(one): one for one in SuppressionReason}


def find_columns(rows: Sequence[TableRow]) -> tuple[int, int]:
    """(line of the header, column of the entries) of a file from its first rows; line 0 = there
    is no header. Raises FileProblem if no column holds addresses or domains."""
    width = max((len(row.cells) for row in rows), default=0)
    best, best_score = 0, 0.0
    for at in range(width):
        cells = [row.cells[at].strip() for row in rows if at < len(row.cells)]
        filled = [cell for cell in cells if cell]
        addresses = sum(1 for cell in filled if looks_like_address(cell))
        patterns = sum(1 for cell in filled if isinstance(parse_pattern(cell), Pattern))
        share = (1.5 * addresses + patterns) / max(len(filled), 1)
        score = share + 0.6 * address_rank(cells[0]) if share else 0.0
        if score > best_score:
            best, best_score = at, score
    if not best_score:
        raise FileProblem(
            "No column with e-mail addresses or domains was found. Put one address or domain in "
            "each row, in the same column."
        )
    first = next(place for place, row in enumerate(rows) if _is_entry(row, best))
    above = rows[first - 1] if first else None
    cell = above.cells[best].strip() if above and best < len(above.cells) else ""
    named = first == 1 or address_rank(cell) > 0
    is_header = above is not None and named and cell and not set(cell) & {"@", "."}
    return (above.line if above and is_header else 0), best


def _is_entry(row: TableRow, at: int) -> bool:
    cell = row.cells[at].strip() if at < len(row.cells) else ""
    return looks_like_address(cell) or isinstance(parse_pattern(cell), Pattern)


def entry_of(text: str) -> ParsedAddress | Pattern | AddressProblem:
    """The address, domain or wildcard that a text is, or what is wrong with it."""
    pattern = parse_pattern(text)
    return check_syntax(text) if pattern is None else pattern


def column_of(headers: Sequence[str], names: frozenset[str]) -> int | None:
    """The first column with one of these names."""
    return next((at for at, header in enumerate(headers) if plain_header(header) in names), None)


def reason_column(headers: Sequence[str]) -> int | None:
    """The column that says why, if there is one."""
    return column_of(headers, _REASON_HEADERS)


def note_column(headers: Sequence[str]) -> int | None:
    """The column with a person's words, if there is one."""
    return column_of(headers, _NOTE_HEADERS)


def reason_of(row: RecipientRow, column: int | None) -> SuppressionReason:
    """Why a row is on the list: what its reason column or a status column says, or `imported`."""
    cell = row.cells[column] if column is not None and column < len(row.cells) else ""
    said = plain_header(cell)
    found = _OWN.get(said) or _OF_SES.get(said)
    if found is not None:
        return found
    no = row.said_no or said_no("status", "reason", cell)
    return (no.reason if no else None) or SuppressionReason.IMPORTED

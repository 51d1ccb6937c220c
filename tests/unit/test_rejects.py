"""The file of refused rows: safe to open in a spreadsheet, and read back as what it was."""

from __future__ import annotations

import pytest

from domain.recipient_files import look, recipient_rows
from domain.rejects import defused, restored, titles
from domain.text_tables import TableRow


@pytest.mark.parametrize("cell", ["=1+1", "+49 170", "-x", "@name", "'quoted", "O'Neil", "", "'"])
def test_what_was_defused_is_restored(cell: str) -> None:
    assert restored(defused(cell)) == cell


def test_a_mended_file_has_only_its_own_columns() -> None:
    rows = [
        TableRow(1, ["email", "Formula", "why refused", "line"]),
        TableRow(2, ["zoe@example.com", "'=1+1", "There is no address.", "7"]),
        TableRow(3, ["ida@example.com", "a", "The row has 3 cells.", "8", "too many"]),
    ]
    layout, below = look(iter(rows))
    first, second = recipient_rows(below, layout)
    assert layout.headers == ("email", "Formula")
    assert (first.value, first.variables, first.fault) == (
        "zoe@example.com", {"formula": "=1+1"}, None
    )  # fmt: skip
    assert second.cells == ["ida@example.com", "a", "too many"]
    assert second.fault is not None


def test_a_file_without_a_header_gets_one_that_names_the_same_variables() -> None:
    found, _ = look(iter([TableRow(1, ["Ida", "ida@example.com", "Wien"])]))
    named = titles(found.headers, found.email_column)
    assert named == ["column 1", "email", "column 3"]
    again, _ = look(iter([TableRow(1, named), TableRow(2, ["Ida", "ida@example.com", "Wien"])]))
    assert again.variable_names == found.variable_names

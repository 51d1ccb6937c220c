"""Text files as people have them: encodings, delimiters, line ends, quotes."""

import io
import json
import tracemalloc
from pathlib import Path

import pytest

from domain.file_problems import FileProblem
from domain.text_encodings import detect_encoding
from domain.text_tables import (
    MAX_COLUMNS,
    MAX_LINE,
    MAX_LINES_IN_A_CELL,
    TableRow,
    detect_format,
    read_rows,
)


def rows_of(data: bytes) -> list[TableRow]:
    file = io.BytesIO(data)
    return list(read_rows(file, detect_format(file)))


def cells_of(data: bytes) -> list[list[str]]:
    return [row.cells for row in rows_of(data)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_recognised_with_and_without_a_mark(encoding: str) -> None:
    text = "email,name\n" + "ana@example.com,Žofie Łukasz 山田\n" * 20
    assert cells_of(text.encode(encoding))[1] == ["ana@example.com", "Žofie Łukasz 山田"]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1252", "Jürgen Müller Köln Straße"),
        ("cp1252", "Zoë Lefèvre, café"),
        ("mac_roman", "Zoë Lefèvre, café, François"),
        ("cp1250", "Jiří Dvořák Přerov"),
        ("cp1251", "Иван Петров Москва"),
        ("koi8_r", "Иван Петров Москва"),
        ("cp1253", "Γιώργος Παπαδόπουλος Αθήνα"),
        ("cp1256", "محمد أحمد"),
        ("cp932", "山田太郎 東京都"),
        ("gb18030", "王小明 北京市朝阳区"),
        ("cp949", "김철수 서울"),
    ],
)
def test_old_encodings_are_guessed_from_the_letters(encoding: str, name: str) -> None:
    data = ("email;name\n" + f"ana@example.com;{name}\n" * 20).encode(encoding)
    assert cells_of(data)[1] == ["ana@example.com", name]
    assert not detect_encoding(io.BytesIO(data)).certain


def test_one_accent_at_the_end_of_a_long_file_is_seen() -> None:
    data = (
        b"email,name\n"
        + b"ana@example.com,Ana\n" * 200_000
        + "x@example.com,José\n".encode("cp1252")
    )
    file = io.BytesIO(data)
    assert detect_format(file).encoding == "cp1252"


def test_a_few_broken_bytes_do_not_turn_a_utf8_file_into_another_encoding() -> None:
    data = ("email,name\n" + "ana@example.com,Žofie\n" * 100).encode() + b"x@example.com,\xff\n"
    file = io.BytesIO(data)
    assert detect_format(file).encoding == "utf-8"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_delimiter_and_line_end_is_found(delimiter: str, end: str) -> None:
    lines = [
        delimiter.join(row)
        for row in (["email", "price"], ["a@example.com", "1"], ["b@example.com", "2"])
    ]
    rows = rows_of(end.join(lines).encode())
    assert [row.cells[0] for row in rows] == ["email", "a@example.com", "b@example.com"]
    assert [row.line for row in rows] == [1, 2, 3]


def test_commas_inside_a_semicolon_file_do_not_mislead() -> None:
    data = b'email;amount;note\na@example.com;1,50;"x, y"\nb@example.com;2,75;"z, w"\n'
    assert cells_of(data)[1] == ["a@example.com", "1,50", "x, y"]


def test_excels_own_first_line_names_the_delimiter() -> None:
    assert cells_of(b"sep=;\nemail;a,b\nx@example.com;1,2\n") == [
        ["email", "a,b"],
        ["x@example.com", "1,2"],
    ]


def test_a_row_has_the_line_it_begins_on_also_after_quoted_newlines_and_blank_lines() -> None:
    data = b'email,note\r\na@example.com,"one\r\ntwo\r\nthree"\r\n\r\nb@example.com,x\r\n'
    assert [row.line for row in rows_of(data)] == [1, 2, 6]


def test_a_quotation_mark_that_is_never_closed_costs_one_row() -> None:
    good = "".join(f"u{n}@example.com,x\n" for n in range(MAX_LINES_IN_A_CELL + 50))
    rows = rows_of(f'email,note\nbad@example.com,"oops\n{good}'.encode())
    assert [row.line for row in rows if row.fault] == [2]
    assert len([row for row in rows if not row.fault]) == MAX_LINES_IN_A_CELL + 51


def test_a_quote_at_the_end_of_the_file_is_reported() -> None:
    rows = rows_of(b'email,note\na@example.com,x\nb@example.com,"never closed\n')
    assert rows[-1].fault is not None
    assert rows[-1].cells[0] == "b@example.com"


def test_quotes_inside_quotes_that_are_not_doubled_are_reported_and_reading_goes_on() -> None:
    rows = rows_of(b'email,note\na@example.com,"say "hi" now"\nb@example.com,x\n')
    assert [(row.line, bool(row.fault)) for row in rows] == [(1, False), (2, True), (3, False)]


def test_backslash_quotes_are_understood() -> None:
    assert cells_of(b'email,note\na@example.com,"say \\"hi\\" now"\n')[1] == [
        "a@example.com",
        'say "hi" now',
    ]


def test_nul_bytes_are_taken_out() -> None:
    assert cells_of(b"email,na\0me\na@example.com,x\0y\n") == [
        ["email", "name"],
        ["a@example.com", "xy"],
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"%PDF-1.7\n...",
        b"\x1f\x8b\x08\0abc",
        bytes(range(32)) * 50,
        b"<html><body>x</body></html>",
    ],
)
def test_what_is_no_text_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(FileProblem, match=r"Upload a table"):
        rows_of(data)


def test_a_cell_of_100_mb_and_a_million_columns_are_refused_in_bounded_memory() -> None:
    huge = io.BytesIO(b"email,note\na@example.com," + b"x" * 100_000_000 + b"\n")
    wide = io.BytesIO(b"email" + b"," * 1_000_000 + b"\n")
    form = detect_format(huge)
    tracemalloc.start()
    with pytest.raises(FileProblem, match="longer than"):
        list(read_rows(huge, form))
    with pytest.raises(FileProblem, match="columns"):
        list(read_rows(wide, form))
    assert tracemalloc.get_traced_memory()[1] < 20 * MAX_LINE + 100 * MAX_COLUMNS
    tracemalloc.stop()


def test_a_file_whose_quotes_are_all_open_is_refused_soon() -> None:
    opened = b'"a@example.com\n' + b"b@example.com,x\n" * MAX_LINES_IN_A_CELL
    with pytest.raises(FileProblem, match="not closed"):
        rows_of(b"email,note\n" + opened * 200)


def test_the_acid_tests_of_csv_parsers_are_met(material: Path) -> None:
    for folder in ("csv-spectrum/csvs", "csv-test-data/csv"):
        for path in sorted((material / "recipients" / folder).glob("*.csv")):
            answer = path.parents[1] / "json" / f"{path.stem}.json"
            if not answer.exists() or path.stem == "location_coordinates":
                continue  # no answer, or one with another telephone number than the file
            wanted = json.loads(answer.read_bytes().replace(b"\\r\\n", b"\\n"))
            cells = [
                [cell.replace("\r\n", "\n") for cell in row] for row in cells_of(path.read_bytes())
            ]
            rows: list[object] = list(cells)
            if not wanted or isinstance(wanted[0], dict):
                rows = [dict(zip(cells[0], row, strict=False)) for row in cells[1:]]
            assert rows == [row for row in wanted if any(row)], path.name


def test_rows_that_break_the_rules_of_csv_are_never_accepted_in_silence(material: Path) -> None:
    folder = material / "recipients/csv-test-data/csv"
    for name in ("bad-missing-quote.csv", "bad-quotes-with-unescaped-quote.csv"):
        assert any(row.fault for row in rows_of((folder / name).read_bytes())), name


def test_each_encoding_of_the_same_text_reads_the_same(material: Path) -> None:
    folder = material / "recipients/phpspreadsheet-csv"
    for family in ("encoding", "premiere"):
        wanted = cells_of((folder / f"{family}.utf8.csv").read_bytes())
        for path in folder.glob(f"{family}.*.csv"):
            assert cells_of(path.read_bytes())[: len(wanted)] == wanted, path.name

"""Workbooks, read in a child process with limits: shapes, types, hostile files."""

import csv
import io
import resource
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pytest

from domain.file_problems import FileProblem
from domain.recipient_files import Layout, RecipientRow, recipient_rows
from services.recipients import ImportOptions, open_table
from services.spreadsheets import convert, numbered_rows


def read(path: Path, **options: object) -> tuple[Layout, list[RecipientRow]]:
    with open_table(path, ImportOptions(**options)) as table:  # type: ignore[arg-type]
        return table.layout, list(recipient_rows(table.rows, table.layout))


def cells_of(path: Path, folder: Path, sheet: str | None = None) -> list[list[str]]:
    target = folder / "rows.csv"
    convert(path, target, sheet)
    with target.open("rb") as file:
        return [row.cells for row in numbered_rows(file)]


def workbook(path: Path, rows: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(path)
    return path


def test_a_workbook_is_read_as_a_person_sees_it(tmp_path: Path) -> None:
    half_past_eight = datetime(2024, 2, 29, 8, 30)  # noqa: DTZ001 - a sheet has no zones
    path = workbook(
        tmp_path / "list.xlsx",
        [["E-mail", "Plz", "Anzahl", "Preis", "Seit", "Um", "Ja"],
         ["a@example.com", "01234", 7.0, 12.5, date(2024, 2, 29), half_past_eight,
          True],
         [None], ["b@example.com", "1"]],
    )  # fmt: skip
    layout, rows = read(path)
    assert rows[0].variables == {
        "plz": "01234", "anzahl": "7", "preis": "12.5", "seit": "2024-02-29",
        "um": "2024-02-29 08:30:00", "ja": "TRUE",
    }  # fmt: skip
    assert [row.line for row in rows] == [2, 4]
    assert layout.header_line == 1


def test_hidden_sheets_are_passed_over_and_can_be_picked(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    secret = book.create_sheet("secret")
    secret.append(["email"])
    secret.append(["hidden@example.com"])
    secret.sheet_state = "hidden"
    book.create_sheet("notes")
    book.create_sheet("people").append(["shown@example.com"])
    book.save(tmp_path / "book.xlsx")
    _, rows = read(tmp_path / "book.xlsx")
    assert [row.value for row in rows] == ["shown@example.com"]
    _, rows = read(tmp_path / "book.xlsx", sheet="secret")
    assert [row.value for row in rows] == ["hidden@example.com"]
    found = convert(tmp_path / "book.xlsx", tmp_path / "o.csv")
    assert [(sheet.name, sheet.hidden) for sheet in found.sheets] == [
        ("secret", True), ("notes", False), ("people", False)
    ]  # fmt: skip
    with pytest.raises(FileProblem, match="no sheet"):
        read(tmp_path / "book.xlsx", sheet="other")


def test_one_cell_in_the_far_corner_costs_neither_memory_nor_the_process(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet["A1"], sheet["A2"] = "email", "a@example.com"
    sheet["XFD1048576"] = "far"
    book.save(tmp_path / "sparse.xlsx")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    _, rows = read(tmp_path / "sparse.xlsx")
    assert [row.value for row in rows][:1] == ["a@example.com"]
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < max(before, 1_300_000)


def packed(path: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        for name, content in parts.items():
            package.writestr(name, content)
    return path


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = packed(tmp_path / "bomb.xlsx", {"xl/worksheets/sheet1.xml": b"<c/>" * 80_000_000})
    with pytest.raises(FileProblem, match="unpacks"):
        read(path)


def test_a_size_that_lies_is_found_out_while_unpacking(tmp_path: Path) -> None:
    path = packed(tmp_path / "liar.xlsx", {"xl/worksheets/sheet1.xml": b"<c/>" * 80_000_000})
    data = bytearray(path.read_bytes())
    real = (320_000_000).to_bytes(4, "little")
    small = (1000).to_bytes(4, "little")
    path.write_bytes(bytes(data).replace(real, small))
    with pytest.raises(FileProblem):
        read(path)


def test_entities_in_a_workbook_are_refused(tmp_path: Path) -> None:
    evil = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><sst>&e;</sst>'
    path = packed(tmp_path / "xxe.xlsx", {"xl/workbook.xml": b"<x/>", "xl/sharedStrings.xml": evil})
    with pytest.raises(FileProblem, match="entities"):
        read(path)


def test_an_archive_and_a_broken_workbook_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="archive"):
        read(packed(tmp_path / "a.zip", {"list.csv": b"email\na@example.com\n"}))
    with pytest.raises(FileProblem, match="cannot be read"):
        read(packed(tmp_path / "b.xlsx", {"xl/workbook.xml": b"nonsense"}))


def test_hostile_workbooks_of_others_are_refused_or_read(material: Path) -> None:
    folder = material / "hostile/spreadsheets"
    for name, words in (
        ("poc-xmlbomb.xlsx", "entities"),
        ("protected_passtika.xlsx", "password"),
        ("xxe_in_schema.xlsx", "No column"),
    ):
        with pytest.raises(FileProblem, match=words):
            read(folder / name)


def test_the_same_table_saved_by_different_programs_reads_the_same(
    material: Path, tmp_path: Path
) -> None:
    folder = material / "recipients/gov-uk-notify/equivalents"
    tables = [
        cells_of(path, tmp_path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() not in (".csv", ".tsv")
    ]
    assert len(tables) == 5
    assert all(table == tables[0] for table in tables)
    with (folder / "newline_unix.csv").open(encoding="utf-8", newline="") as file:
        assert tables[0] == list(csv.reader(file))


@pytest.mark.parametrize("stem", ["QQQ1234567", "exotic_types", "exotic_types_no_header"])
@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_workbooks_give_the_cells_that_their_source_states(
    stem: str, kind: str, material: Path, tmp_path: Path
) -> None:
    folder = material / "recipients/gov-uk-notify/conversions"
    found = cells_of(folder / f"originals/{kind}_{stem}.{kind}", tmp_path)
    text = (folder / f"expected_converted/{kind}_{stem}.csv").read_text("utf-8")
    wanted = []
    for row in csv.reader(io.StringIO(text.replace(" 00:00:00", ""), newline="")):
        while row and not row[-1]:
            row.pop()
        if row:
            wanted.append(row)
    assert found == wanted


def test_merged_cells_have_their_value_in_each_cell_they_cover(
    material: Path, tmp_path: Path
) -> None:
    folder = material / "recipients/gov-uk-notify/conversions"
    found = cells_of(folder / "originals/xlsx_merged_cells.xlsx", tmp_path)
    with (folder / "expected_converted/xlsx_merged_cells.csv").open(newline="") as file:
        wanted = [",".join(row).rstrip(",") for row in csv.reader(file)]
    assert [",".join(row) for row in found] == [line for line in wanted if line]


def test_only_the_first_rows_are_written_where_a_look_asks_for_them(tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for number in range(50):
        sheet.append([f"reader{number}@example.com"])
    source, target = tmp_path / "list.xlsx", tmp_path / "rows.csv"
    book.save(source)
    convert(source, target, rows=7)
    assert len(target.read_text().splitlines()) == 7


def test_a_protected_workbook_is_known_whatever_its_file_is_called(
    material: Path, tmp_path: Path
) -> None:
    source = tmp_path / "upload"
    source.write_bytes((material / "hostile/spreadsheets/protected_passtika.xlsx").read_bytes())
    with pytest.raises(FileProblem, match="protected by a password"):
        convert(source, tmp_path / "rows.csv")


def test_every_workbook_reads_the_same_without_its_ending(material: Path, tmp_path: Path) -> None:
    folder = material / "recipients/gov-uk-notify"
    for path in (folder / "equivalents/excel_97.xls", folder / "equivalents/excel 2007.xlsx",
                 folder / "conversions/originals/xlsx_QQQ1234567.xlsx",
                 folder / "equivalents/open document spreadsheet.ods"):  # fmt: skip
        upload = tmp_path / "upload"
        upload.write_bytes(path.read_bytes())
        assert cells_of(upload, tmp_path) == cells_of(path, tmp_path)

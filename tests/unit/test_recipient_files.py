"""From tables to recipients: headers, columns, names, and rows that say no."""

from collections import Counter
from pathlib import Path

import pytest

from domain.addresses import ParsedAddress, check_syntax
from domain.file_problems import FileProblem
from domain.recipient_files import Layout, RecipientRow, look, recipient_rows
from domain.recipient_headers import address_rank
from domain.statuses import SuppressionReason
from domain.variable_names import RESERVED_NAMES, variable_name
from services.recipients import ImportOptions, open_table


def read(path: Path, **options: object) -> tuple[Layout, list[RecipientRow]]:
    with open_table(path, ImportOptions(**options)) as table:  # type: ignore[arg-type]
        return table.layout, list(recipient_rows(table.rows, table.layout))


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str, name: str = "list.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("email\na@example.com\nb@example.com\n", 2),
        ("email\na@example.com\nb@example.com", 2),
        ("email\r\na@example.com\r\nb@example.com\r\n", 2),
        ("email\ra@example.com\rb@example.com\r", 2),
        ("Export of today\n\nemail\na@example.com\nb@example.com\n", 2),
        ("a@example.com\nb@example.com\n", 2),
        ("email\na@example.com", 1),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_progress_is_out_of_the_rows_below_the_header(
    tmp_path: Path, content: str, rows: int, encoding: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content.encode(encoding))
    with open_table(path, ImportOptions()) as table:
        assert table.lines == rows == len(list(recipient_rows(table.rows, table.layout)))


@pytest.mark.parametrize(
    "header",
    ["email", "E-mail", "EMAIL", "Email Address", "E-Mail-Adresse", "Adresse e-mail", "Courriel",
     "Correo electrónico", "Indirizzo email", "e_mail", " Email ", "E-mail 1 - Value",
     "メールアドレス", "Электронная почта", "البريد الإلكتروني",
     "电子邮箱", "이메일", "ईमेल", "Sähköposti"],
)  # fmt: skip
def test_the_address_column_is_known_in_many_languages(header: str, file) -> None:
    assert address_rank(header) == 2
    layout, rows = read(file(f"Name,{header}\nAna,ana@example.com\n"))
    assert layout.email_column == 1
    assert rows[0].variables == {"name": "Ana"}


@pytest.mark.parametrize(
    "header", ["Email opt-in", "Email status", "Accepts email marketing", "Mailing city", "Name"]
)
def test_columns_about_mail_are_not_the_address(header: str) -> None:
    assert address_rank(header) == 0


def test_an_unknown_header_is_found_by_what_is_below_it(file) -> None:
    layout, rows = read(file("wer,wohin\nAna,ana@example.com\nBo,bo@example.com\n"))
    assert (layout.header_line, layout.email_column) == (1, 1)
    assert [row.value for row in rows] == ["ana@example.com", "bo@example.com"]


def test_a_file_without_a_header_loses_no_row(file) -> None:
    layout, rows = read(file("Ana,ana@example.com\nBo,bo@example.com\n"))
    assert layout.header_line is None
    assert [(row.line, row.value) for row in rows] == [
        (1, "ana@example.com"),
        (2, "bo@example.com"),
    ]
    assert rows[0].variables == {"column_1": "Ana"}


def test_junk_above_the_header_is_stepped_over(file) -> None:
    layout, rows = read(
        file("Spring\n,,\nexported,by,someone\nName,E-mail,City\nAna,ana@example.com,Rome\n")
    )
    assert layout.header_line == 4
    assert rows == [
        RecipientRow(5, "ana@example.com", {"name": "Ana", "city": "Rome"},
                     ["Ana", "ana@example.com", "Rome"], None, None)
    ]  # fmt: skip


def test_a_person_can_name_the_header_line_and_the_column(file) -> None:
    path = file("a,email\nb,second\nx@example.com,y@example.com\n")
    layout, rows = read(path, header_line=2, email_column=0)
    assert rows[0].value == "x@example.com"
    assert layout.variable_names == ["second"]


def test_a_column_with_addresses_beats_a_name_that_promises_them(file) -> None:
    layout, _ = read(file("Mail,Contact\nyes,ana@example.com\nno,bo@example.com\n"))
    assert layout.email_column == 1


def test_ragged_rows_are_filled_or_reported(file) -> None:
    _, rows = read(
        file(
            "email,first,last\na@example.com,Ana\nb@example.com,Bo,Be,,\nc@example.com,Ce,Li, Jr\n"
        )
    )
    assert rows[0].variables == {"first": "Ana", "last": ""}
    assert rows[1].fault is None
    assert rows[2].fault is not None
    assert "4 cells" in rows[2].fault


def test_blank_columns_become_variables_only_if_something_is_in_them(file) -> None:
    layout, _ = read(file("email,,,name\na@example.com,,x,Ana\n"))
    assert layout.variable_names == ["column_3", "name"]


@pytest.mark.parametrize("text", ["", "\n\n", "name,city\nAna,Rome\n", "just words"])
def test_a_file_without_addresses_is_refused_with_a_sentence(text: str, file) -> None:
    with pytest.raises(FileProblem, match=r"empty|No column with e-mail addresses"):
        read(file(text))


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("Status", "Unsubscribed", SuppressionReason.UNSUBSCRIBED),
        ("status", "bounced", SuppressionReason.BOUNCED),
        ("status", "Hard bounce", SuppressionReason.BOUNCED),
        ("Status", "cleaned", SuppressionReason.BOUNCED),
        ("Status", "complained", SuppressionReason.COMPLAINED),
        ("EMAIL_BLACKLISTED", "Yes", SuppressionReason.UNSUBSCRIBED),
        ("UNSUB_TIME", "2020-02-03 04:05:06", SuppressionReason.UNSUBSCRIBED),
        ("CLEAN_TIME", "2020-02-03 04:05:06", SuppressionReason.BOUNCED),
        ("HasOptedOutOfEmail", "true", SuppressionReason.UNSUBSCRIBED),
        ("Accepts Email Marketing", "no", None),
        ("status", "unconfirmed", None),
    ],
)
def test_a_file_that_says_no_is_believed(
    header: str, value: str, reason: SuppressionReason | None, file
) -> None:
    _, rows = read(file(f"email,{header}\na@example.com,{value}\n"))
    assert rows[0].said_no is not None
    assert rows[0].said_no.reason is reason
    assert value in rows[0].said_no.sentence


@pytest.mark.parametrize(
    ("header", "value"),
    [("Status", "active"), ("status", "subscribed"), ("EMAIL_BLACKLISTED", "No"),
     ("UNSUB_TIME", ""), ("Accepts Email Marketing", "yes"), ("Status", "Open - Not Contacted"),
     ("City", "Unsubscribed")],
)  # fmt: skip
def test_what_says_nothing_against_it_is_mailed(header: str, value: str, file) -> None:
    _, rows = read(file(f"email,{header}\na@example.com,{value}\n"))
    assert rows[0].said_no is None


@pytest.mark.parametrize(
    ("header", "name"),
    [("First Name", "first_name"), ("FirstName", "first_name"), ("Prénom", "prenom"),
     ("Müller Straße", "muller_strasse"), ("E-mail 2", "email_2"), ("2nd", "column_2nd"),
     ("☎ Contact", "contact"), ("Interested?", "interested"), ("नाम", "नाम"), ("", "column")],
)  # fmt: skip
def test_headers_become_names_for_templates(header: str, name: str) -> None:
    assert variable_name(header, ()) == name


def test_names_that_are_taken_or_reserved_get_a_number() -> None:
    assert variable_name("Name", {"name"}) == "name_2"
    assert variable_name("Name", {"name", "name_2"}) == "name_3"
    for word in RESERVED_NAMES:
        made = variable_name(word, ())
        assert made.isidentifier()
        assert made not in RESERVED_NAMES


def test_exports_of_other_products_give_the_answers_their_makers_state(material: Path) -> None:
    found = {}
    for path in (material / "recipients/export-presets").glob("*.csv"):
        _, rows = read(path)
        found[path.stem] = [
            (row.value, row.said_no.reason if row.said_no else "mail") for row in rows
        ]
    unsubscribed, bounced = SuppressionReason.UNSUBSCRIBED, SuppressionReason.BOUNCED
    assert found["activecampaign"] == [("ac@x.fr", unsubscribed)]
    assert found["brevo"] == [("br@x.fr", unsubscribed)]
    assert found["kit"] == [("kit@x.fr", bounced)]
    assert found["mailchimp"] == [("mc@x.fr", "mail")]
    assert found["statuses"][:3] == [
        ("gone@x.fr", "mail"), ("active@x.fr", unsubscribed), ("b@x.fr", bounced)
    ]  # fmt: skip
    assert found["systeme_io"] == [("lea@sio.fr", "mail")]
    assert found["generic-french"] == [("gen@x.fr", "mail")]


@pytest.mark.parametrize(
    ("name", "rows", "different"),
    [("hubspot/contacts-small.csv", 3, 2), ("listmonk/subs.csv", 100, 100),
     ("mautic/contacts.csv", 2, 2), ("mautic/fakeleaddata.csv", 54, 50),
     ("notifuse/sample_contacts.csv", 26, 25), ("roundcube/email.csv", 4, 4),
     ("roundcube/gmail.csv", 1, 1), ("billionmail/example_recipients.csv", 3, 3),
     ("messy-crm/agency-chaos.csv", 4, 2), ("messy-crm/rtl-arabic-headers.csv", 2, 2),
     ("messy-crm/horrible-headers-mixed.csv", 3, 2),
     ("messy-crm/duplicate-mixed-columns.csv", 2, 2)],
)  # fmt: skip
def test_lists_of_other_products_are_read_whole(
    name: str, rows: int, different: int, material: Path
) -> None:
    _, found = read(material / "recipients" / name)
    parsed = [check_syntax(row.value) for row in found]
    assert len(found) == rows
    assert len({one.address for one in parsed if isinstance(one, ParsedAddress)}) == different


def test_every_sample_is_read_or_refused_with_a_sentence(material: Path) -> None:
    kinds: Counter[str] = Counter()
    for path in sorted((material / "recipients").rglob("*")):
        if path.is_dir() or path.suffix.lower() in (".json", ".txt"):
            continue
        try:
            read(path)
            sentence = "read."
        except FileProblem as problem:
            sentence = str(problem)
        assert sentence.endswith((".", ")")), path.name
        kinds[sentence] += 1
    assert kinds["read."] > 30


def test_a_look_at_nothing_is_refused() -> None:
    with pytest.raises(FileProblem, match="empty"):
        look(iter(()))


def test_xml_in_any_disguise_is_refused(material: Path) -> None:
    for path in sorted((material / "hostile/xee-xml").glob("*.xml")):
        with pytest.raises(FileProblem):
            read(path)

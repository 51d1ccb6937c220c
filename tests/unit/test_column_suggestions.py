"""What columns are suggested to be, by the headers of other programs' exports."""

from __future__ import annotations

import pytest

from domain.column_suggestions import (
    LEFT_ADDRESS,
    LEFT_EMPTY,
    LEFT_MACHINE,
    LEFT_REMARKS,
    LEFT_STATUS,
    suggestions,
)
from domain.recipient_files import look
from domain.refusal_kinds import RefusalKind, kind_of
from domain.text_tables import TableRow


def suggested(headers: str, *, wanted: tuple[str, ...] = (), cells: str = "") -> dict[str, object]:
    """Headers (by `|`, `*` marks the address) to the suggested variable, or to the remark where
    it is left out."""
    marked = headers.split("|")
    names = [name.strip("*") for name in marked]
    values = cells.split("|") if cells else ["x" for _ in names]
    values[next(at for at, name in enumerate(marked) if "*" in name)] = "ida@example.com"
    layout, _ = look(iter([TableRow(1, names), TableRow(2, values)]))
    found = suggestions(layout, wanted)
    return {names[at]: one.name or one.remark for at, one in found.items()}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (  # Mailchimp
            "*Email Address|First Name|Last Name|MEMBER_RATING|OPTIN_TIME|LEID|NOTES",
            ["first_name", "last_name", LEFT_MACHINE, LEFT_MACHINE, LEFT_MACHINE, LEFT_REMARKS],
        ),
        (  # HubSpot
            "Record ID|First Name|Last Name|Phone Number|*Email|Create Date",
            [LEFT_MACHINE, "first_name", "last_name", "phone", LEFT_MACHINE],
        ),
        (  # Salesforce
            "Contact ID|Salutation|First Name|Account Name|Mailing City|*Email|Email Opt Out",
            [LEFT_MACHINE, "salutation", "first_name", "company", "city", LEFT_STATUS],
        ),
        (  # Google
            "Given Name|Family Name|E-mail 1 - Type|*E-mail 1 - Value|Phone 1 - Value",
            ["first_name", "last_name", LEFT_MACHINE, "phone"],
        ),
        (  # Outlook
            "First Name|Last Name|Company|Business City|*E-mail Address|E-mail 2 Address",
            ["first_name", "last_name", "company", "city", "email_2_address"],
        ),
        (  # Brevo
            "*EMAIL|LASTNAME|FIRSTNAME|SMS|EMAIL_BLACKLISTED|ADDED_TIME",
            ["last_name", "first_name", "phone", LEFT_STATUS, LEFT_MACHINE],
        ),
        (  # Shopify
            "Customer ID|First Name|*Email|Accepts Email Marketing|Default Address Zip",
            [LEFT_MACHINE, "first_name", LEFT_STATUS, "postcode"],
        ),
        ("*Courriel|Prénom|Nom de famille|Ville", ["first_name", "last_name", "city"]),
        ("*E-Mail|Vorname|Nachname|PLZ|Ort", ["first_name", "last_name", "postcode", "city"]),
    ],
)
def test_headers_of_exports_become_usual_names(headers: str, expected: list[str]) -> None:
    assert list(suggested(headers).values()) == expected


def test_a_name_that_the_mail_uses_is_kept() -> None:
    assert suggested("*email|FNAME", wanted=("fname",)) == {"FNAME": "fname"}
    assert suggested("*email|Notes", wanted=("notes",)) == {"Notes": "notes"}


def test_two_columns_never_get_the_same_name() -> None:
    names = list(suggested("*email|First Name|FNAME|Given Name").values())
    assert names[0] == "first_name"
    assert len(set(names)) == 3


def test_empty_columns_and_further_addresses_are_left_out() -> None:
    found = suggested("*email|Secondary|Work Email", cells="|" + "|" + "b@example.com")
    assert found == {"Secondary": LEFT_EMPTY, "Work Email": LEFT_ADDRESS}


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("There is no address.", RefusalKind.EMPTY),
        ("There is a space in it. Did you mean a@example.com?", RefusalKind.SPACE),
        ("The row has 5 cells, the header has 4: a delimiter too many.", RefusalKind.BROKEN_ROW),
        ("Something else.", RefusalKind.OTHER),
    ],
)
def test_reasons_fall_into_groups(reason: str, kind: RefusalKind) -> None:
    assert kind_of(reason) is kind

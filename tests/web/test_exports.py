"""Downloads: whole, in import order, safe in a spreadsheet, with no transaction held open."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openpyxl import load_workbook
from openpyxl.worksheet.worksheet import Worksheet

from database import writing
from domain.statuses import Fact
from tests.factories import add_campaign, add_recipients
from tests.web.forms import page
from web.database import db


@pytest.fixture
def campaign(app: Flask, now: datetime) -> None:
    """Five thousand recipients, one of them delivered, with a formula for a name."""
    with app.app_context(), writing(db.session):
        found = add_campaign(db.session, now, name="Ünï “news” / ../x")
        emails = [f"reader{number:04}@example.com" for number in range(4999)]
        add_recipients(db.session, found, emails, now, variables='{"name": "Ida"}')
        add_recipients(
            db.session, found, ["last@example.com"], now,
            facts=Fact.CLAIMED | Fact.ACCEPTED | Fact.DELIVERED, variables='{"name": "=1+1"}',
        )  # fmt: skip


@pytest.mark.usefixtures("campaign")
def test_a_csv_holds_every_recipient_in_import_order(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/campaigns/1/export")
    lines = answer.get_data().decode("utf-8-sig").splitlines()
    assert len(lines) == 5001
    assert lines[0].startswith("email,status,reason_code")
    assert lines[1].startswith("reader0000@example.com,pending")
    assert lines[-1].startswith("last@example.com,delivered")
    assert lines[-1].endswith(",'=1+1")
    name = answer.headers["Content-Disposition"]
    assert name.startswith("attachment; filename=n-news-x-")
    assert name.endswith(".csv")


@pytest.mark.usefixtures("campaign")
def test_a_state_can_be_exported_alone_as_xlsx(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/campaigns/1/export?format=xlsx&state=delivered")
    sheet = load_workbook(io.BytesIO(answer.get_data())).active
    assert isinstance(sheet, Worksheet)
    rows = list(sheet.iter_rows(values_only=True))
    assert [row[0] for row in rows] == ["email", "last@example.com"]
    assert rows[1][-1] == "=1+1"
    assert sheet.cell(2, len(rows[1])).data_type == "s"


@pytest.mark.usefixtures("campaign")
def test_what_does_not_exist_is_not_found(logged_in: FlaskClient) -> None:
    assert logged_in.get("/campaigns/1/export?format=pdf").status_code == 404
    assert logged_in.get("/campaigns/77/export").status_code == 404


@pytest.mark.usefixtures("campaign")
def test_the_export_follows_the_filter_of_the_page(logged_in: FlaskClient) -> None:
    page_links = page(logged_in.get("/campaigns/1?state=delivered&q=last")).xpath(
        "//section[@id='recipients']//a[@download]/@href"
    )
    assert "/campaigns/1/export?state=delivered&q=last" in page_links
    lines = logged_in.get(page_links[0]).get_data(as_text=True).splitlines()
    assert [line.partition(",")[0] for line in lines] == ["email", "last@example.com"]


@pytest.mark.usefixtures("campaign")
@pytest.mark.parametrize(
    ("address", "first"),
    [
        ("/campaigns/1/events/export", "happened_at,received_at,event"),
        ("/notifications/export", "happened_at,received_at,event"),
        ("/contacts/export", "email,lists,tags"),
        ("/suppressions/export?reason=bounced", "email,reason,source"),
    ],
)
def test_every_export_is_there_in_both_forms(
    logged_in: FlaskClient, address: str, first: str
) -> None:
    answer = logged_in.get(address)
    assert answer.get_data(as_text=True).startswith(first)
    answer = logged_in.get(f"{address}{'&' if '?' in address else '?'}format=xlsx")
    sheet = load_workbook(io.BytesIO(answer.get_data())).active
    assert isinstance(sheet, Worksheet)
    assert sheet["A1"].value == first.partition(",")[0]


def test_lists_and_segments_that_are_not_there_are_not_found(logged_in: FlaskClient) -> None:
    assert logged_in.get("/contacts/export?list=7").status_code == 404
    assert logged_in.get("/contacts/export?segment=7").status_code == 404

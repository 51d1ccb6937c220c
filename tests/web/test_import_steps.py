"""The steps between an upload and its import: look, map columns, dry run; no script needed."""

from __future__ import annotations

import io
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from database import writing
from domain.statuses import CampaignStatus, JobKind, JobStatus, SuppressionReason
from models import Campaign, Job, Recipient, Upload
from services import file_looks, suppression
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post
from tests.web.test_imports import counters, work
from web.database import db

FILE = (
    "Members of the club\r\n"
    "\r\n"
    "Email Address;FNAME;Member;NOTES;Status\r\n"
    "ida@example.com;Ida;7;rang;subscribed\r\n"
    "maple@example.org;;8;;subscribed\r\n"
    "IDA@example.com;Again;9;;subscribed\r\n"
    "no-address;Nobody;1;;subscribed\r\n"
    "a b@example.com;Space;1;;subscribed\r\n"
    "gone@example.org;Gone;1;;subscribed\r\n"
    "left@example.org;Left;1;;unsubscribed\r\n"
    "there@example.org;There;1;;subscribed\r\n"
)


@pytest.fixture(autouse=True)
def campaign(app: Flask, now: datetime) -> int:
    """A draft whose mail uses first_name and city; one recipient is there, one suppressed."""
    with app.app_context(), writing(db.session):
        suppression.suppress(
            db.session, "gone@example.org", SuppressionReason.BOUNCED, "SES", None, now
        )
        found = add_campaign(db.session, now, variables=[], subject="Hello {{ first_name }}",
                             html="<p>{{ city }}</p>", text="")  # fmt: skip
        add_recipients(db.session, found, ["there@example.org"], now)
        return found.id


def upload(client: FlaskClient, content: bytes, name: str = "members.csv") -> TestResponse:
    """Upload a file to look at it first; the page that follows."""
    data = {"file": (io.BytesIO(content), name), "do": "look"}
    return follow(client, post(client, "/campaigns/1/recipients/upload", data))


def press(client: FlaskClient, shown: TestResponse, do: str, **changes: str) -> TestResponse:
    """Send the form of a step as a browser without scripts would, with some fields changed."""
    form = page(shown).xpath("//main//form")[0]
    fields = {**dict(form.form_values()), "do": do, **changes}
    return client.post(form.get("action"), data=fields)


def selected(shown: TestResponse) -> dict[str, str]:
    """Each column of the mapping with what it is used as."""
    selects = page(shown).xpath("//main//table//select")
    return {
        one.get("aria-label").removeprefix("Use column ").removesuffix(" as"): one.value
        for one in selects
    }


def checked_line(shown: TestResponse) -> str:
    return str(page(shown).xpath("//input[@name='header'][@checked]/@value")[0])


def test_looking_first_stores_the_file_and_nobody(app: Flask, logged_in: FlaskClient) -> None:
    shown = upload(logged_in, FILE.encode())
    said = main_words(shown)
    assert "members.csv" in said
    assert checked_line(shown) == "3"
    assert "As found: UTF-8" in said
    assert "As found: semicolon" in said
    assert counters(app)["total"] == 1
    with app.app_context():
        assert not db.session.scalars(select(Job)).all()


def test_each_part_of_the_reading_can_be_changed(logged_in: FlaskClient) -> None:
    shown = upload(logged_in, "email,name\nida@example.com,J\xf6rg Wei\xdf\n".encode("mac_roman"))
    assert "A guess" in main_words(shown)
    again = follow(logged_in, press(logged_in, shown, "look", encoding="mac_roman"))
    assert "Jörg Weiß" in main_words(again)
    assert "As you chose." in main_words(again)
    other = follow(logged_in, press(logged_in, again, "look", delimiter=";"))
    assert "email,name" in main_words(other)


def test_a_header_row_holds_for_the_reading_it_was_chosen_in(logged_in: FlaskClient) -> None:
    shown = upload(logged_in, FILE.encode())
    moved = press(logged_in, shown, "look", header="1")
    assert parse_qs(urlsplit(moved.headers["Location"]).query)["header"] == ["1"]
    elsewhere = press(logged_in, shown, "look", header="1", delimiter=",")
    assert "header" not in parse_qs(urlsplit(elsewhere.headers["Location"]).query)


def test_columns_get_the_names_their_headers_suggest(logged_in: FlaskClient) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    assert selected(shown) == {
        "Email Address": "email",
        "FNAME": "var:first_name",
        "Member": "var:member",
        "NOTES": "leave",
        "Status": "leave",
    }
    said = main_words(shown)
    assert "respected: who said no in it gets nothing" in said
    assert "{{ city }} comes from no column yet." in said


def test_a_dry_run_says_what_would_happen_and_stores_nobody(
    app: Flask, logged_in: FlaskClient
) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    queued = press(logged_in, shown, "check")
    assert "you may leave this page" in main_words(follow(logged_in, queued))
    assert work(app) is JobStatus.DONE
    answer = follow(logged_in, queued)
    figures = {item.text_content()[:-1]: item.text_content()[-1]
               for item in page(answer).xpath("//ul[@class='legend']/li")}  # fmt: skip
    assert figures == {"Would be added": "2", "Already there": "1", "Twice in the file": "1",
                       "Suppressed": "2", "Refused": "2"}  # fmt: skip
    said = main_words(answer)
    assert "in 1 of them the file itself says no" in said
    assert "{{ first_name }}1 of 2" in said
    assert "{{ city }}everybody" in said
    assert counters(app)["total"] == 1
    only = main_words(logged_in.get(queued.headers["Location"] + "?kind=space"))
    assert "a b@example.com" in only
    assert "no-address" not in only


def test_the_import_does_what_its_dry_run_said(app: Flask, logged_in: FlaskClient) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    tried = press(logged_in, shown, "check", **{"use-2": "own", "own-2": "Card number"})
    work(app)
    assert "Import 2 recipients" in main_words(follow(logged_in, tried))
    assert logged_in.get(tried.headers["Location"] + "/undo").status_code == 404
    queued = post(logged_in, tried.headers["Location"] + "/import")
    assert work(app) is JobStatus.DONE
    assert "2 of 8 rows added." in main_words(follow(logged_in, queued))
    assert counters(app) == {"total": 5, "pending": 3, "skipped": 2}
    with app.app_context():
        ida = db.session.scalars(select(Recipient).where(Recipient.line == 4)).one()
        assert ida.variables == '{"first_name":"Ida","card_number":"7"}'
        first, second = db.session.scalars(select(Job).order_by(Job.id)).all()
        assert (first.kind, second.kind) == (JobKind.DRY_RUN, JobKind.IMPORT)
        for name in ("rows", "added", "duplicates", "suppressed", "refused_total"):
            assert (first.result or {})[name] == (second.result or {})[name]


def test_import_now_is_one_press_from_the_look(app: Flask, logged_in: FlaskClient) -> None:
    queued = press(logged_in, upload(logged_in, FILE.encode()), "import")
    assert work(app) is JobStatus.DONE
    assert "2 of 8 rows added." in main_words(follow(logged_in, queued))
    with app.app_context():
        ida = db.session.scalars(select(Recipient).where(Recipient.line == 4)).one()
        assert ida.variables.startswith('{"fname":"Ida"')


def test_a_mapping_is_suggested_again_for_the_same_header(
    app: Flask, logged_in: FlaskClient
) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    press(logged_in, shown, "check", **{"use-1": "var:nickname", "use-3": "var:notes"})
    again = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    assert "As you mapped a file with this header before." in main_words(again)
    assert selected(again)["FNAME"] == "var:nickname"
    assert selected(again)["NOTES"] == "var:notes"


def test_changing_the_mapping_of_a_dry_run_begins_with_that_mapping(
    app: Flask, logged_in: FlaskClient
) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    tried = press(logged_in, shown, "check", **{"use-2": "leave"})
    work(app)
    back = page(follow(logged_in, tried)).xpath("//a[text()='Change mapping']/@href")[0]
    assert selected(logged_in.get(back))["Member"] == "leave"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"use-0": "leave"}, "Say which column holds the email addresses."),
        ({"use-1": "email"}, "Only one column can be the email address"),
        ({"use-1": "own"}, "Write a name for the column “FNAME”"),
        ({"use-2": "var:first_name"}, "cannot all be {{ first_name }}"),
    ],
)
def test_a_mapping_that_cannot_be_carried_out_is_answered_and_kept(
    app: Flask, logged_in: FlaskClient, changes: dict[str, str], sentence: str
) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    answer = press(logged_in, shown, "check", **changes)
    assert answer.status_code == 400
    assert sentence in main_words(answer)
    with app.app_context():
        assert not db.session.scalars(select(Job)).all()


def test_a_file_without_an_address_column_can_be_told_where_it_is(
    app: Flask, logged_in: FlaskClient
) -> None:
    shown = upload(logged_in, b"who,where\nwien,ida at example.com\nlinz,none\n")
    assert "This needs a word from you" in main_words(shown)
    mapped = follow(logged_in, press(logged_in, shown, "columns", header="1"))
    queued = press(logged_in, mapped, "check", **{"use-1": "email"})
    assert work(app) is JobStatus.DONE
    assert "0 of 2 rows would be added" in main_words(follow(logged_in, queued))


def test_what_is_no_table_is_refused_with_a_way_on(logged_in: FlaskClient) -> None:
    data = {"file": (io.BytesIO(b"\x89PNG\r\n\x1a\n" + bytes(99)), "list.csv"), "do": "look"}
    queued = post(logged_in, "/campaigns/1/recipients/upload", data)
    answer = logged_in.get(queued.headers["Location"])
    assert answer.status_code == 400
    assert "This file is a picture (PNG)." in main_words(answer)


def test_only_the_beginning_of_a_large_file_is_looked_at(
    logged_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_looks, "_BEGINNING", 100_000)
    lines = "".join(f"reader{n}@example.com,Björn {n},{'x' * 800}\n" for n in range(500))
    shown = upload(logged_in, f"email,name,remark\n{lines}".encode())
    assert "about 50" in main_words(shown)
    assert "Björn 3" in main_words(shown)


def test_a_file_that_is_not_kept_any_more_says_so(app: Flask, logged_in: FlaskClient) -> None:
    upload(logged_in, FILE.encode())
    with app.app_context(), writing(db.session):
        db.session.delete(db.session.scalars(select(Upload)).one())
    answer = logged_in.get("/campaigns/1/recipients/files/1")
    assert answer.status_code == 404
    assert "This file is not kept any more: upload it again." in main_words(answer)


def test_files_and_dry_runs_of_another_campaign_are_not_found(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    shown = follow(logged_in, press(logged_in, upload(logged_in, FILE.encode()), "columns"))
    tried = press(logged_in, shown, "check")
    with app.app_context(), writing(db.session):
        add_campaign(db.session, now)
    assert logged_in.get("/campaigns/2/recipients/files/1").status_code == 404
    elsewhere = tried.headers["Location"].replace("/campaigns/1/", "/campaigns/2/")
    assert logged_in.get(elsewhere).status_code == 404
    assert post(logged_in, elsewhere + "/import").status_code == 404


def test_the_steps_are_closed_after_launch(app: Flask, logged_in: FlaskClient) -> None:
    shown = upload(logged_in, FILE.encode())
    with app.app_context(), writing(db.session):
        db.session.get_one(Campaign, 1).status = CampaignStatus.SENDING
    assert press(logged_in, shown, "import").headers["Location"] == "/campaigns/1"
    with app.app_context():
        assert not db.session.scalars(select(Job)).all()

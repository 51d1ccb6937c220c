"""The suppression list: look, search, add, remove with a word of warning, take along."""

from __future__ import annotations

import io
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from aws.clients import AwsClients
from database import writing
from domain.statuses import SuppressionReason
from models import Suppression
from services import suppression
from services.jobs import Dependencies, claim_job, run_job
from tests.web.forms import follow, main_words, page, post
from web.database import db


@pytest.fixture
def filled(app: Flask, now: datetime) -> None:
    """A hundred and twenty addresses, the newest last by number."""
    with app.app_context(), writing(db.session):
        for number in range(120):
            reason = SuppressionReason.COMPLAINED if number == 7 else SuppressionReason.BOUNCED
            suppression.suppress(
                db.session, f"reader{number:03}@example.com", reason, "SES reported: Bounce", None,
                now + timedelta(minutes=number),
            )  # fmt: skip


def stored(app: Flask) -> dict[str | None, Suppression]:
    with app.app_context():
        return {entry.address: entry for entry in db.session.scalars(select(Suppression))}


def test_an_empty_list_says_what_fills_it(logged_in: FlaskClient) -> None:
    assert "Hard bounces, complaints and unsubscribes" in main_words(
        logged_in.get("/suppressions/")
    )


@pytest.mark.parametrize("path", ["/suppressions", "/suppressions/files", "/suppressions/account"])
def test_the_sidebar_says_where_one_is(logged_in: FlaskClient, path: str) -> None:
    entry = page(logged_in.get(path)).xpath("//nav//a[@aria-current='page']")[0]
    assert entry.text_content().strip() == "Suppression list"


@pytest.mark.usefixtures("filled")
def test_pages_lead_to_older_ones_and_back_to_the_newest(logged_in: FlaskClient) -> None:
    first = logged_in.get("/suppressions/")
    assert "reader119@example.com" in main_words(first)
    assert "Newest 50 of 120" in main_words(first)
    [older] = page(first).xpath("//a[@rel='next']/@href")
    second = logged_in.get(older)
    assert "reader069@example.com" in main_words(second)
    assert "reader070@example.com" not in main_words(second)
    assert page(second).xpath("//a[@rel='prev']/@href") == ["/suppressions/"]


@pytest.mark.usefixtures("filled")
def test_search_and_reason_narrow_the_list(logged_in: FlaskClient) -> None:
    said = main_words(logged_in.get("/suppressions/?q=READER01"))
    assert "reader011@example.com" in said
    assert "reader021@example.com" not in said
    said = main_words(logged_in.get("/suppressions/?reason=complained"))
    assert "reader007@example.com" in said
    assert "reader008@example.com" not in said
    assert "No suppressed address matches" in main_words(logged_in.get("/suppressions/?q=zz"))


def test_addresses_are_added_as_pasted(app: Flask, logged_in: FlaskClient) -> None:
    pasted = {"addresses": "Ida@Example.com, maple@example.org;\nzoe@example.net", "note": "phone"}
    said = main_words(follow(logged_in, post(logged_in, "/suppressions/add", pasted)))
    assert "3 entries added." in said
    found = stored(app)
    assert set(found) == {"ida@example.com", "maple@example.org", "zoe@example.net"}
    assert found["ida@example.com"].reason is SuppressionReason.MANUAL
    assert found["ida@example.com"].note == "phone"
    again = follow(logged_in, post(logged_in, "/suppressions/add", pasted))
    assert "Nothing had to be added. 3 already on the list." in main_words(again)


def test_one_wrong_address_adds_nothing_and_is_named(app: Flask, logged_in: FlaskClient) -> None:
    typed = {"addresses": "ida@example.com not-an-address"}
    answer = post(logged_in, "/suppressions/add", typed)
    assert answer.status_code == 400
    assert "“not-an-address”" in main_words(answer)
    assert page(answer).get_element_by_id("addresses").text.strip() == typed["addresses"]
    assert not stored(app)


@pytest.mark.usefixtures("filled")
def test_removing_asks_first_and_warns_about_who_said_no(
    app: Flask, logged_in: FlaskClient
) -> None:
    before = stored(app)
    chosen = [str(before[f"reader{n:03}@example.com"].id) for n in (7, 8)]
    asked = post(logged_in, "/suppressions/remove", {"id": chosen})
    assert asked.status_code == 200
    assert "Remove 2 entries from the list?" in main_words(asked)
    assert "1 person among them said no" in main_words(asked)
    assert len(stored(app)) == 120
    done = post(logged_in, "/suppressions/remove", {"id": chosen, "confirmed": "yes"})
    assert "2 entries removed." in main_words(follow(logged_in, done))
    assert set(before) - set(stored(app)) == {"reader007@example.com", "reader008@example.com"}


def test_removing_nothing_says_so(logged_in: FlaskClient) -> None:
    answer = follow(logged_in, post(logged_in, "/suppressions/remove", {}))
    assert "Choose at least one address first." in main_words(answer)


@pytest.mark.usefixtures("filled")
def test_the_list_can_be_taken_along(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/suppressions/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    lines = answer.get_data(as_text=True).splitlines()
    assert lines[0].endswith("email,reason,source,note,campaign_id,created_at")
    assert len(lines) == 121


def test_domains_and_wildcards_are_added_shown_and_removed_with_a_word(
    app: Flask, logged_in: FlaskClient
) -> None:
    pasted = {"addresses": "example.com *.example.org sales@* ida@example.net", "note": ""}
    said = main_words(follow(logged_in, post(logged_in, "/suppressions/add", pasted)))
    assert "4 entries added." in said
    assert "1 address and everybody under 3 domains and wildcards get nothing from you" in said
    assert "every address at a subdomain of example.org" in said
    only = main_words(logged_in.get("/suppressions/?show=domains"))
    assert "sales@ at every domain" in only
    assert "ida@example.net" not in only
    assert "every address at example.com" in main_words(
        logged_in.get("/suppressions/?q=zoe@example.com")
    )
    chosen = {"id": [str(stored(app)["*@example.com"].id)]}
    asked = main_words(post(logged_in, "/suppressions/remove", chosen))
    assert "1 entry covers more than one address" in asked
    post(logged_in, "/suppressions/remove", {**chosen, "confirmed": "yes"})
    assert "*@example.com" not in stored(app)


def test_everything_cannot_be_suppressed(app: Flask, logged_in: FlaskClient) -> None:
    answer = post(logged_in, "/suppressions/add", {"addresses": "*@*"})
    assert answer.status_code == 400
    assert "“*@*”: This is no domain that mail can go to." in main_words(answer)
    assert not stored(app)


def work(app: Flask) -> None:
    """Do the background work that waits."""
    wiring = app.extensions["bes"]
    needs = Dependencies(wiring.settings, lambda: pytest.fail("no mail"), lambda: datetime.now(UTC))
    while True:
        with wiring.sessions() as session, writing(session):
            job = claim_job(session, "w", datetime.now(UTC))
        if job is None:
            return
        run_job(wiring.sessions, job.id, "w", needs)


def test_a_file_is_tried_and_only_added_when_a_person_says_so(
    app: Flask, logged_in: FlaskClient
) -> None:
    text = b"email,reason\nana@example.com,complaint\nexample.org,\nnobody,\n"
    sent = post(logged_in, "/suppressions/files", {"file": (io.BytesIO(text), "no.csv")})
    assert sent.status_code == 303
    page_of_trial = sent.headers["Location"]
    assert "You may leave this page" in main_words(logged_in.get(page_of_trial))
    work(app)
    said = main_words(logged_in.get(page_of_trial))
    assert "2 of 3 rows would be added" in said
    assert "nobody" in said
    assert not stored(app)
    rejects = logged_in.get(f"{page_of_trial}/rejects").get_data(as_text=True)
    assert rejects.splitlines()[1].startswith("nobody,,")
    done = post(logged_in, f"{page_of_trial}/add", {})
    work(app)
    assert "2 of 3 rows added" in main_words(logged_in.get(done.headers["Location"]))
    assert set(stored(app)) == {"ana@example.com", "*@example.org"}
    assert "no.csv" in main_words(logged_in.get("/suppressions/files"))
    undo = f"{done.headers['Location']}/undo"
    assert "Undo this import?" in main_words(logged_in.get(undo))
    assert stored(app), "a look at that page changes nothing"
    said = main_words(follow(logged_in, post(logged_in, undo, {})))
    assert "Undone: 2 entries taken off the list again." in said
    assert not stored(app)
    assert "This import was undone" in main_words(logged_in.get(done.headers["Location"]))


def test_a_file_without_addresses_says_what_is_missing(app: Flask, logged_in: FlaskClient) -> None:
    sent = post(logged_in, "/suppressions/files", {"file": (io.BytesIO(b"a,b\n1,2\n"), "x.csv")})
    work(app)
    said = main_words(logged_in.get(sent.headers["Location"]))
    assert "No column with e-mail addresses or domains was found" in said


@pytest.mark.usefixtures("filled")
def test_the_accounts_list_is_compared_and_pulled_after_a_confirmation(
    simulator: Any, app: Flask, logged_in: FlaskClient
) -> None:
    with closing(AwsClients(app.extensions["bes"].settings)) as clients:
        clients.ses.put_suppressed_destination(EmailAddress="zoe@example.net", Reason="BOUNCE")
    assert "Not compared yet" in main_words(logged_in.get("/suppressions/account"))
    post(logged_in, "/suppressions/account/read", {})
    assert "Reading the account’s list" in main_words(logged_in.get("/suppressions/account"))
    work(app)
    said = main_words(logged_in.get("/suppressions/account"))
    assert "zoe@example.net" in said
    assert "Add 1 here" in said
    assert "Tell SES of 120" in said
    assert "Nothing changes at SES" in main_words(logged_in.get("/suppressions/account/pull"))
    assert "zoe@example.net" not in stored(app)
    post(logged_in, "/suppressions/account/pull", {})
    work(app)
    assert "1 address added here" in main_words(logged_in.get("/suppressions/account"))
    assert stored(app)["zoe@example.net"].reason is SuppressionReason.ACCOUNT_LIST
    post(logged_in, "/suppressions/account/push", {})
    work(app)
    assert "SES was told of 120 addresses" in main_words(logged_in.get("/suppressions/account"))


def test_a_right_that_is_missing_is_said_on_the_page(
    simulator: Any, app: Flask, logged_in: FlaskClient
) -> None:
    simulator.faults.deny = ["ListSuppressedDestinations"]
    post(logged_in, "/suppressions/account/read", {})
    work(app)
    assert "the right ses:ListSuppressedDestinations" in main_words(
        logged_in.get("/suppressions/account")
    )

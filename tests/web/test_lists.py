"""Lists and contacts through the pages: made, filled, looked through, taken along, erased."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from audience_models import Contact, ContactList
from database import writing
from domain.statuses import CampaignStatus, JobStatus
from services import jobs
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post
from web.database import db, wiring


def make_list(client: FlaskClient, name: str = "Readers") -> str:
    """The address of a new list's page."""
    answer = post(client, "/lists/new", {"name": name, "description": "who read"})
    assert answer.status_code == 303
    return str(answer.headers["Location"])


def add(client: FlaskClient, at: str, email: str, fields: str = "") -> str:
    typed = {"email": email, "fields": fields}
    return main_words(follow(client, post(client, f"{at}/add", typed)))


def only_contact(app: Flask) -> Contact:
    with app.app_context():
        return db.session.scalars(select(Contact)).one()


def run_jobs(app: Flask, clock: Callable[[], datetime]) -> JobStatus:
    """Do the one job that waits, as a scheduler would."""
    wired = wiring(app)

    def no_mail() -> None:
        raise AssertionError("no mail is sent here")

    with wired.sessions() as session, writing(session):
        job = jobs.claim_job(session, "a test", clock())
    assert job is not None
    needs = jobs.Dependencies(wired.settings, no_mail, clock)  # type: ignore[arg-type]
    return jobs.run_job(wired.sessions, job.id, "a test", needs)


def test_the_first_page_says_what_a_list_is_for(logged_in: FlaskClient) -> None:
    said = logged_in.get("/lists/")
    assert "No list yet" in main_words(said)
    entry = page(said).xpath("//nav//a[@aria-current='page']")[0]
    assert entry.text_content().strip() == "Lists"


def test_a_list_is_made_once_named_once_and_renamed(app: Flask, logged_in: FlaskClient) -> None:
    at = make_list(logged_in)
    again = post(logged_in, "/lists/new", {"name": "readers"})
    assert again.status_code == 400
    assert "There is a list “readers” already" in main_words(again)
    typed = {"name": "Subscribers", "description": ""}
    said = main_words(follow(logged_in, post(logged_in, f"{at}/edit", typed)))
    assert "Subscribers" in said
    with app.app_context():
        assert db.session.scalars(select(ContactList.name)).all() == ["Subscribers"]


def test_people_are_added_searched_and_taken_off(app: Flask, logged_in: FlaskClient) -> None:
    at = make_list(logged_in)
    assert "ana@example.com added." in add(logged_in, at, "ana@example.com", "First Name: Ana")
    assert "was on the list already" in add(logged_in, at, "Ana@example.com")
    wrong = post(logged_in, f"{at}/add", {"email": "nobody", "fields": ""})
    assert (wrong.status_code, "no @" in main_words(wrong)) == (400, True)
    assert "ana@example.com" in main_words(logged_in.get(f"{at}?q=AN"))
    assert "Nobody on this list matches" in main_words(logged_in.get(f"{at}?q=zz"))
    gone = post(logged_in, f"{at}/remove", {"id": [str(only_contact(app).id)]})
    assert "1 person taken off the list." in main_words(follow(logged_in, gone))


def test_a_file_is_imported_by_the_scheduler_and_can_be_undone(
    app: Flask, logged_in: FlaskClient, clock: Callable[[], datetime]
) -> None:
    at = make_list(logged_in)
    file = (io.BytesIO(b"email,name\nana@example.com,Ana\nbad,x\n"), "people.csv")
    answer = post(logged_in, f"{at}/upload", {"file": file})
    import_page = answer.headers["Location"]
    assert "rows read" in main_words(logged_in.get(import_page))
    stopped = main_words(follow(logged_in, post(logged_in, f"{import_page}/stop")))
    assert "No row had been read yet. Go on with the import" in stopped
    post(logged_in, f"{import_page}/resume")
    assert run_jobs(app, clock) is JobStatus.DONE
    said = main_words(logged_in.get(import_page))
    assert "1 of 2 rows added" in said
    assert "{{ name }}" in said
    refused = logged_in.get(f"{import_page}/rejects").get_data(as_text=True)
    assert "bad,x" in refused
    assert "people.csv" in main_words(logged_in.get(f"{at}/upload"))
    assert "Undo this import?" in main_words(logged_in.get(f"{import_page}/undo"))
    undone = follow(logged_in, post(logged_in, f"{import_page}/undo"))
    assert "Undone: 1 person taken off the list." in main_words(undone)
    assert "This import was undone" in main_words(logged_in.get(import_page))


def test_an_import_is_shown_only_with_its_own_list(
    logged_in: FlaskClient, app: Flask, clock: Callable[[], datetime]
) -> None:
    at, other = make_list(logged_in), make_list(logged_in, "Others")
    file = (io.BytesIO(b"email\nana@example.com\n"), "people.csv")
    shown = post(logged_in, f"{at}/upload", {"file": file}).headers["Location"]
    assert logged_in.get(shown.replace(at, other)).status_code == 404


def test_a_contact_shows_what_is_known_and_changes(app: Flask, logged_in: FlaskClient) -> None:
    at = make_list(logged_in)
    add(logged_in, at, "ana@example.com", "city: Bonn")
    contact = f"/contacts/{only_contact(app).id}"
    typed = {"fields": "city: Berlin\nFirst Name: Ana", "tags": "VIP, north"}
    said = main_words(follow(logged_in, post(logged_in, f"{contact}/edit", typed)))
    for words in ("first_nameAna", "cityBerlin", "north, vip", "ReadersSubscribed", "No mail yet"):
        assert words in said
    document = logged_in.get(f"{contact}/export")
    assert "attachment" in document.headers["Content-Disposition"]
    assert json.loads(document.data)["fields"] == {"city": "Berlin", "first_name": "Ana"}
    wrong = post(logged_in, f"{contact}/edit", {"fields": "words", "tags": ""})
    assert wrong.status_code == 400
    faults = "//*[@id='{}-error']"
    assert "name: value" in page(wrong).xpath(faults.format("fields"))[0].text_content()
    long = post(logged_in, f"{contact}/edit", {"fields": "", "tags": "x" * 81})
    assert "80 characters" in page(long).xpath(faults.format("tags"))[0].text_content()


def test_what_is_wrong_with_a_persons_fields_stands_at_the_fields(logged_in: FlaskClient) -> None:
    typed = {"email": "ana@example.com", "fields": "words"}
    answer = post(logged_in, f"{make_list(logged_in)}/add", typed)
    assert answer.status_code == 400
    assert page(answer).xpath("//*[@id='fields-error']")
    assert not page(answer).xpath("//*[@id='email-error']")


def test_a_person_is_erased_after_being_asked(app: Flask, logged_in: FlaskClient) -> None:
    at = make_list(logged_in)
    add(logged_in, at, "ana@example.com")
    contact = f"/contacts/{only_contact(app).id}"
    assert "Erase this person?" in main_words(logged_in.get(f"{contact}/erase"))
    done = follow(logged_in, post(logged_in, f"{contact}/erase", {"keep_out": "yes"}))
    assert "Erased: the contact" in main_words(done)
    assert logged_in.get(contact).status_code == 404
    assert "erased on request" in main_words(logged_in.get("/suppressions/"))


def test_a_campaign_says_of_whom_only_the_figures_are_left(
    app: Flask, logged_in: FlaskClient, now: datetime
) -> None:
    add(logged_in, make_list(logged_in), "ana@example.com")
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now, status=CampaignStatus.SENT)
        (row,) = add_recipients(db.session, campaign, ["ana@example.com"], now)
        at, opened = f"/campaigns/{campaign.id}", row.id
    post(logged_in, f"/contacts/{only_contact(app).id}/erase")
    assert "erased on request" in main_words(logged_in.get(at))
    story = page(logged_in.get(f"{at}?r={opened}"))
    assert story.xpath("//h3[contains(., 'erased on request')]")


def test_a_whole_address_opens_its_page_or_says_that_nothing_is_known(
    app: Flask, logged_in: FlaskClient
) -> None:
    add(logged_in, make_list(logged_in), "ana@example.com")
    found = follow(logged_in, post(logged_in, "/contacts/open", {"address": "ANA@example.com"}))
    assert "Known since" in main_words(found)
    unknown = post(logged_in, "/contacts/open", {"address": "zoe@example.com"})
    assert "Nothing is known of zoe@example.com" in main_words(follow(logged_in, unknown))
    assert "ana@example.com" in main_words(logged_in.get("/contacts/?q=an"))


def test_a_list_is_deleted_after_being_asked(logged_in: FlaskClient) -> None:
    at = make_list(logged_in)
    assert "Delete the list Readers?" in main_words(logged_in.get(f"{at}/delete"))
    said = main_words(follow(logged_in, post(logged_in, f"{at}/delete")))
    assert "The list Readers is deleted." in said
    assert logged_in.get(at).status_code == 404

"""Upload Recipients: queued, followed, answered row by row, undone; the same without script."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from database import writing
from domain.statuses import CampaignStatus, JobStatus, RecipientStatus, SuppressionReason
from models import Campaign, CampaignCounters, Job, Recipient, Upload
from services import jobs, suppression, uploads
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post
from web.database import db, wiring

FILE = (
    "E-mail;First Name;Branch\r\n"
    "ida@example.com;Ida;Harbour\r\n"
    "IDA@example.com;Ida again;Harbour\r\n"
    "no-address;Nobody;Shore\r\n"
    "gone@example.org;Gone;Shore\r\n"
    "maple@example.org;=1+1;Shore\r\n"
)


@pytest.fixture
def campaign(app: Flask, now: datetime) -> int:
    """An empty draft; gone@example.org is suppressed."""
    with app.app_context(), writing(db.session):
        suppression.suppress(
            db.session, "gone@example.org", SuppressionReason.BOUNCED, "SES", None, now
        )
        return add_campaign(db.session, now, variables=[]).id


def send_file(
    client: FlaskClient, content: bytes, name: str = "members.csv", **fields: str
) -> TestResponse:
    return post(
        client, "/campaigns/1/recipients/upload", {"file": (io.BytesIO(content), name), **fields}
    )


def work(app: Flask) -> JobStatus:
    """Do the queued job, as a scheduler would."""

    def no_service() -> None:
        raise AssertionError("an import sends no mail")

    def clock() -> datetime:
        return datetime.now(UTC)

    with app.app_context():
        wired = wiring()
        with writing(db.session):
            job = jobs.claim_job(db.session, "worker", clock())
        assert job is not None
        dependencies = jobs.Dependencies(wired.settings, no_service, clock)  # type: ignore[arg-type]
        return jobs.run_job(wired.sessions, job.id, "worker", dependencies)


def counters(app: Flask) -> dict[str, int]:
    with app.app_context():
        found = db.session.get_one(CampaignCounters, 1)
        return {"total": found.total, "pending": found.pending, "skipped": found.skipped}


@pytest.mark.usefixtures("campaign")
def test_a_file_is_queued_imported_and_answered_row_by_row(
    app: Flask, logged_in: FlaskClient
) -> None:
    queued = send_file(logged_in, FILE.encode())
    waiting = main_words(follow(logged_in, queued))
    assert "members.csv" in waiting
    assert "You may leave this page" in waiting
    assert work(app) is JobStatus.DONE
    answer = follow(logged_in, queued)
    said = main_words(answer)
    assert "2 of 5 rows added." in said
    assert "{{ first_name }}" in said
    figures = {item.text_content()[:-1]: item.text_content()[-1]
               for item in page(answer).xpath("//ul[@class='legend']/li")}  # fmt: skip
    assert figures == {"Added": "2", "Duplicates": "1", "Suppressed": "1", "Refused": "1"}
    assert "no-address" in said
    assert "it has no @" in said
    assert counters(app) == {"total": 3, "pending": 2, "skipped": 1}
    draft = main_words(logged_in.get("/campaigns/1"))
    assert "2 added, 1 duplicate, 1 suppressed, 1 refused." in draft


@pytest.mark.usefixtures("campaign")
def test_the_live_part_stops_asking_when_the_import_is_over(
    app: Flask, logged_in: FlaskClient
) -> None:
    queued = send_file(logged_in, FILE.encode())
    address = queued.headers["Location"] + "/progress"
    assert logged_in.get(address, headers={"X-Live": "1"}).headers["X-Next-In"] == "1"
    work(app)
    assert logged_in.get(address, headers={"X-Live": "1"}).headers["X-Next-In"] == "0"


@pytest.mark.usefixtures("campaign")
def test_rejects_can_be_taken_along_mended_and_uploaded_again(
    app: Flask, logged_in: FlaskClient
) -> None:
    queued = send_file(logged_in, FILE.encode())
    work(app)
    rejects = logged_in.get(queued.headers["Location"] + "/rejects").get_data(as_text=True)
    assert "no-address,Nobody,Shore,This is no e-mail address: it has no @.,4" in rejects
    mended = rejects.replace("no-address", "zoe@example.net").encode()
    send_file(logged_in, mended, "mended.csv")
    assert work(app) is JobStatus.DONE
    assert counters(app)["pending"] == 3


@pytest.mark.usefixtures("campaign")
def test_an_import_is_undone_after_a_question(app: Flask, logged_in: FlaskClient) -> None:
    queued = send_file(logged_in, FILE.encode())
    work(app)
    address = queued.headers["Location"] + "/undo"
    assert "3 recipients that this file brought" in main_words(logged_in.get(address))
    assert counters(app)["total"] == 3
    said = main_words(follow(logged_in, post(logged_in, address)))
    assert "Undone: 3 recipients taken out again." in said
    assert counters(app) == {"total": 0, "pending": 0, "skipped": 0}
    assert "This import was undone" in main_words(logged_in.get(queued.headers["Location"]))


@pytest.mark.usefixtures("campaign")
def test_a_waiting_import_is_stopped_at_once(app: Flask, logged_in: FlaskClient) -> None:
    queued = send_file(logged_in, FILE.encode())
    post(logged_in, queued.headers["Location"] + "/stop")
    with app.app_context():
        assert db.session.scalars(select(Job.status)).all() == [JobStatus.STOPPED]
    said = main_words(logged_in.get(queued.headers["Location"]))
    assert "No row had been read yet. Go on with the import" in said


def stopped(browser: FlaskClient) -> str:
    """The page of an import that was stopped while it waited."""
    at = send_file(browser, FILE.encode()).headers["Location"]
    post(browser, at + "/stop")
    return at


@pytest.mark.usefixtures("campaign")
def test_a_stopped_import_goes_on_while_its_file_is_kept(
    app: Flask, logged_in: FlaskClient
) -> None:
    at = stopped(logged_in)
    post(logged_in, at + "/resume")
    assert work(app) is JobStatus.DONE
    said = main_words(logged_in.get(at))
    assert "of 5 rows added." in said
    assert "Go on with the import" not in said
    post(logged_in, at + "/undo")
    refused = follow(logged_in, post(logged_in, at + "/resume"))
    assert "This import cannot go on: upload the file again." in main_words(refused)
    with app.app_context():
        assert db.session.scalars(select(Job.status)).all() == [JobStatus.STOPPED]


@pytest.mark.usefixtures("campaign")
def test_a_stopped_import_whose_file_is_gone_cannot_go_on(
    app: Flask, logged_in: FlaskClient
) -> None:
    at = stopped(logged_in)
    with app.app_context(), writing(db.session):
        uploads.remove(db.session, db.session.scalars(select(Upload.id)).one())
    assert "Go on with the import" not in main_words(logged_in.get(at))
    post(logged_in, at + "/resume")
    with app.app_context():
        assert db.session.scalars(select(Job.status)).all() == [JobStatus.STOPPED]


@pytest.mark.usefixtures("campaign")
def test_a_file_that_cannot_be_read_says_what_to_do(app: Flask, logged_in: FlaskClient) -> None:
    queued = send_file(logged_in, b"first,second\n1,2\n", "<img src=x>.csv")
    assert work(app) is JobStatus.FAILED
    answer = follow(logged_in, queued)
    assert "Give the column with the addresses the header" in main_words(answer)
    assert "<img src=x>" not in answer.get_data(as_text=True)


@pytest.mark.usefixtures("campaign")
def test_the_same_press_twice_makes_one_import_and_keeps_one_file(
    app: Flask, logged_in: FlaskClient
) -> None:
    first, second = (send_file(logged_in, FILE.encode(), once="a-key") for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    with app.app_context():
        assert len(db.session.scalars(select(Job.id)).all()) == 1
        assert len(db.session.scalars(select(Upload.id)).all()) == 1


@pytest.mark.usefixtures("campaign")
@pytest.mark.parametrize(("content", "sentence"), [(b"", "The file is empty.")])
def test_an_empty_file_is_refused_beside_its_field(
    logged_in: FlaskClient, content: bytes, sentence: str
) -> None:
    answer = send_file(logged_in, content)
    assert answer.status_code == 400
    assert sentence in main_words(answer)


@pytest.mark.usefixtures("campaign")
def test_pressing_without_a_file_asks_for_one(logged_in: FlaskClient) -> None:
    answer = post(logged_in, "/campaigns/1/recipients/upload")
    assert answer.status_code == 400
    assert "Choose a file first." in main_words(answer)


def test_nobody_is_added_after_launch(app: Flask, logged_in: FlaskClient, campaign: int) -> None:
    with app.app_context(), writing(db.session):
        db.session.get_one(Campaign, campaign).status = CampaignStatus.SENDING
    assert send_file(logged_in, FILE.encode()).status_code == 303
    with app.app_context():
        assert not db.session.scalars(select(Job)).all()


def test_all_recipients_of_a_draft_are_removed_after_a_question(
    app: Flask, logged_in: FlaskClient, campaign: int, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        found = db.session.get_one(Campaign, campaign)
        add_recipients(db.session, found, [f"reader{n}@example.com" for n in range(950)], now)
    assert "Remove all 950 recipients?" in main_words(
        logged_in.get("/campaigns/1/recipients/clear")
    )
    said = main_words(follow(logged_in, post(logged_in, "/campaigns/1/recipients/clear")))
    assert "950 recipients removed." in said
    assert counters(app) == {"total": 0, "pending": 0, "skipped": 0}


def test_recipients_of_a_launched_campaign_are_kept_as_proof(
    app: Flask, logged_in: FlaskClient, campaign: int, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        found = db.session.get_one(Campaign, campaign)
        add_recipients(db.session, found, ["ida@example.com"], now)
        found.status = CampaignStatus.SENT
    post(logged_in, "/campaigns/1/recipients/clear")
    with app.app_context():
        assert db.session.scalars(select(Recipient.status)).all() == [RecipientStatus.PENDING]


def test_an_import_of_another_campaign_is_not_found(
    app: Flask, logged_in: FlaskClient, campaign: int, now: datetime
) -> None:
    queued = send_file(logged_in, FILE.encode())
    with app.app_context(), writing(db.session):
        add_campaign(db.session, now)
    elsewhere = queued.headers["Location"].replace("/campaigns/1/", "/campaigns/2/")
    assert logged_in.get(elsewhere).status_code == 404

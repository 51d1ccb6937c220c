"""Every sample file beside the repository through the pages: look, map, dry run, import, rejects.

Whatever a file is, each step answers, nothing of the program's own fails, and every row has its
answer.
"""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from database import writing
from domain.statuses import JobKind, JobStatus
from models import Job
from tests.factories import add_campaign
from tests.web.forms import follow, main_words, page, post
from tests.web.test_import_steps import press
from tests.web.test_imports import work
from web.database import db

_KINDS = (".csv", ".tsv", ".txt", ".tab", ".xlsx", ".xls", ".ods", ".xlsm", ".json", ".xml", ".zip")


def _answers(shown: TestResponse, path: Path) -> TestResponse:
    assert shown.status_code in (200, 400), (path, shown.status_code)
    said = main_words(shown)
    assert "reason of the program" not in said, path
    assert said.strip(), path
    return shown


def _through(app: Flask, client: FlaskClient, path: Path) -> str:
    """How far a file got: refused at the look, at the import, or imported."""
    with app.app_context(), writing(db.session):
        number = add_campaign(db.session, datetime(2026, 3, 2).astimezone(), variables=[]).id
    data = {"file": (io.BytesIO(path.read_bytes()), path.name), "do": "look"}
    sent = post(client, f"/campaigns/{number}/recipients/upload", data)
    shown = _answers(follow(client, sent) if sent.status_code == 303 else sent, path)
    if not page(shown).xpath("//main//form//*[@value='columns']"):
        return "refused at the look"
    shown = _answers(follow(client, press(client, shown, "columns")), path)
    sent = press(client, shown, "check")
    if sent.status_code != 303:
        _answers(sent, path)
        return "refused at the columns"
    work(app)
    dry = sent.headers["Location"]
    _answers(client.get(dry), path)
    sent = post(client, f"/campaigns/{number}/recipients/imports/{dry.split('/')[-1]}/import", {})
    if sent.status_code == 303 and sent.headers["Location"] != dry:
        work(app)
    _answers(client.get(sent.headers["Location"]), path)
    with app.app_context():
        job = db.session.scalars(
            select(Job).where(Job.campaign_id == number, Job.kind == JobKind.IMPORT)
        ).one_or_none()
        if job is None or job.status is JobStatus.FAILED:
            return "refused at the import"
        told = job.result or {}
        parts = ("added", "duplicates", "suppressed", "refused_total")
        assert told["rows"] == sum(told[part] for part in parts), path
        job_id = job.id
    at = f"/campaigns/{number}/recipients/imports/{job_id}"
    for kind in ("csv", "xlsx"):
        assert client.get(f"{at}/rejects?format={kind}").status_code == 200, path
        assert client.get(f"/campaigns/{number}/export?format={kind}").status_code == 200, path
    return "imported"


@pytest.mark.parametrize("folder", ["addresses", "hostile", "recipients/messy-crm"])
def test_every_sample_file_gets_an_answer_at_each_step(
    app: Flask, logged_in: FlaskClient, material: Path, folder: str
) -> None:
    files = [one for one in sorted((material / folder).rglob("*")) if one.suffix in _KINDS]
    assert files
    for path in files:
        assert _through(app, logged_in, path), path

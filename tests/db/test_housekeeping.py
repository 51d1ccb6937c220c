"""What a scheduler does beside sending."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from config import Settings
from database import writing
from domain.statuses import RecipientStatus
from models import Recipient, Upload, UploadChunk
from sender.housekeeping import Housekeeping
from services import lifecycle
from tests.factories import add_campaign, add_sending


def test_old_uploads_are_forgotten(
    sessions: sessionmaker[Session], settings: Settings, now: datetime
) -> None:
    with sessions() as session, writing(session):
        for age in (timedelta(days=1), timedelta(days=30)):
            upload = Upload(filename=f"{age.days} days.csv", created_at=now - age)
            session.add(upload)
            session.flush()
            session.add(UploadChunk(upload_id=upload.id, number=0, data=b"email\n"))
    Housekeeping(settings, sessions).step(now)
    with sessions() as session:
        assert session.scalars(select(Upload.filename)).all() == ["1 days.csv"]
        assert len(session.scalars(select(UploadChunk.number)).all()) == 1


def test_a_part_that_fails_does_not_hold_up_the_others(
    sessions: sessionmaker[Session],
    settings: Settings,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with sessions() as session, writing(session):
        campaign = add_campaign(session, now)
        (row,) = add_sending(session, campaign, ["a@example.com"], now)
        row.submitted_at, row.lease_until = None, now - timedelta(hours=1)
        row_id = row.id

    def fail(*_: object) -> None:
        raise ValueError("There is no time zone X.")

    monkeypatch.setattr(lifecycle, "start_due", fail)
    Housekeeping(settings, sessions).step(now)
    with sessions() as session:
        assert session.get_one(Recipient, row_id).status is RecipientStatus.PENDING

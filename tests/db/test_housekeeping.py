"""What a scheduler does beside sending."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from config import Settings
from database import writing
from models import Upload, UploadChunk
from sender.housekeeping import Housekeeping


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

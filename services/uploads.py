"""Files that people upload, kept in the database in pieces so that any host can work on them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import Table, delete, select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from models import Job, Upload, UploadChunk
from services.campaigns import Refused

#: A piece is written in one short step (bytes).
CHUNK = 256 * 1024
#: The largest file that is taken unless the caller says otherwise (bytes).
LARGEST = 2 * 1024**3

_UPLOADS = cast(Table, Upload.__table__)


def store(
    sessions: sessionmaker[Session],
    campaign_id: int | None,
    filename: str,
    stream: BinaryIO,
    now: datetime,
    *,
    announced: int | None = None,
    largest: int = LARGEST,
) -> int:
    """Keep a file, read from `stream` in pieces, each in a short step of its own; its id.

    `announced` is the size that the client stated, refused at once if it is too large; what
    really comes is counted as well. Raises Refused and leaves nothing behind.
    """
    if announced is not None and announced > largest:
        raise Refused(_too_large(largest))
    with sessions() as session:
        with writing(session):
            upload = Upload(
                campaign_id=campaign_id, filename=_short_name(filename), size=0, created_at=now
            )
            session.add(upload)
            session.flush()
            upload_id = upload.id
        try:
            _store_chunks(session, upload_id, stream, largest)
        except BaseException:
            with writing(session):
                remove(session, upload_id)
            raise
    return upload_id


def _store_chunks(session: Session, upload_id: int, stream: BinaryIO, largest: int) -> None:
    size = number = 0
    while piece := stream.read(CHUNK):
        size += len(piece)
        if size > largest:
            raise Refused(_too_large(largest))
        with writing(session):
            session.add(UploadChunk(upload_id=upload_id, number=number, data=piece))
            session.flush()
            session.execute(_UPLOADS.update().where(_UPLOADS.c.id == upload_id).values(size=size))
        session.expunge_all()
        number += 1
    if size == 0:
        raise Refused("The file is empty.")


def pieces(sessions: sessionmaker[Session], upload_id: int) -> Iterator[bytes]:
    """The content, a piece at a time, with no transaction open in between."""
    number = 0
    while True:
        with sessions() as session:
            piece = session.scalar(
                select(UploadChunk.data).where(
                    UploadChunk.upload_id == upload_id, UploadChunk.number == number
                )
            )
        if piece is None:
            return
        yield piece
        number += 1


def save_to(sessions: sessionmaker[Session], upload_id: int, target: Path) -> None:
    """Write an upload to a file of this machine."""
    with target.open("wb") as file:
        for piece in pieces(sessions, upload_id):
            file.write(piece)


def remove(session: Session, upload_id: int) -> None:
    """Forget an upload and its content."""
    session.execute(delete(UploadChunk).where(UploadChunk.upload_id == upload_id))
    session.execute(delete(Upload).where(Upload.id == upload_id))


def forget_before(session: Session, moment: datetime, limit: int = 10) -> int:
    """Drop up to `limit` uploads older than `moment` that no unfinished job needs."""
    needed = select(Job.upload_id).where(Job.upload_id.is_not(None), Job.finished_at.is_(None))
    old = session.scalars(
        select(Upload.id)
        .where(Upload.created_at < moment, Upload.id.not_in(needed))
        .order_by(Upload.id)
        .limit(limit)
    ).all()
    for upload_id in old:
        remove(session, upload_id)
    return len(old)


def _short_name(filename: str) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2].replace("\0", "").strip()
    return name[-255:] or "file"


def _too_large(largest: int) -> str:
    return f"The file is too large: at most {largest // 1024**2:,} MB are taken."

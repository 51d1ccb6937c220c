"""What gunicorn shares between its workers: an application that has opened nothing yet."""

from __future__ import annotations

import threading

from sqlalchemy import QueuePool

from app import create_app
from config import Settings


def test_the_application_holds_no_connection_and_no_thread_before_its_first_request(
    settings: Settings,
) -> None:
    threads = threading.active_count()
    pool = create_app(settings).extensions["bes"].engine.pool
    assert isinstance(pool, QueuePool)
    assert pool.checkedin() + pool.checkedout() == 0
    assert threading.active_count() == threads

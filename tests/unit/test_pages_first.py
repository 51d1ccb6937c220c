"""Notifications let pages go first, and never wait for good."""

from __future__ import annotations

import threading

from doors.pages_first import PagesFirst


def _passing(pages: PagesFirst) -> tuple[threading.Thread, threading.Event]:
    passed = threading.Event()

    def pass_by() -> None:
        pages.let_pass()
        passed.set()

    thread = threading.Thread(target=pass_by)
    thread.start()
    return thread, passed


def test_a_notification_passes_when_no_page_is_under_way() -> None:
    pages = PagesFirst()
    with pages.page():
        pass
    thread, passed = _passing(pages)
    thread.join(60)
    assert passed.is_set()


def test_a_notification_waits_until_the_last_page_is_made(monkeypatch) -> None:
    monkeypatch.setattr("doors.pages_first.MOST_SECONDS", 3600.0)
    pages = PagesFirst()
    with pages.page():
        with pages.page():
            thread, passed = _passing(pages)
        assert not passed.wait(0.05)
    thread.join(60)
    assert passed.is_set()


def test_a_page_that_takes_long_holds_no_notification_for_good() -> None:
    pages = PagesFirst()
    with pages.page():
        thread, passed = _passing(pages)
        thread.join(60)
        assert passed.is_set()


def test_a_page_that_fails_holds_nobody_up(monkeypatch) -> None:
    monkeypatch.setattr("doors.pages_first.MOST_SECONDS", 3600.0)
    pages = PagesFirst()
    try:
        with pages.page():
            raise RuntimeError("a page failed")
    except RuntimeError:
        pass
    thread, passed = _passing(pages)
    thread.join(60)
    assert passed.is_set()

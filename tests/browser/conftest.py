"""A real browser before a really served application: Chromium, a free port, a database."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect, sync_playwright
from werkzeug.serving import make_server

from tests.conftest import skip_missing

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: How long anything on a page may take, on a busy machine too (milliseconds).
_PATIENCE = 60_000
expect.set_options(timeout=_PATIENCE)
#: Rules of WCAG 2.2 AA and of good habit.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One Chromium for a file of tests (its event loop ends with it); skips where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        skip_missing("Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    """The application served on a free port; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Visitor:
    """A signed-in person: pages by path, and every fault that their console would show."""

    def __init__(self, page: Page, site: str) -> None:
        self.page, self.site = page, site
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        refused = "the server responded with a status of 40" in message.text
        if message.type in ("error", "warning") and not refused:
            self.faults.append(message.text)

    def go(self, path: str) -> None:
        """Open a page of the site."""
        self.page.goto(self.site + path)

    def barriers(self) -> list[str]:
        """What axe finds wrong on this page, and whether it scrolls sideways."""
        found = Axe().run(self.page, options={"runOnly": _RULES}).response["violations"]
        barriers = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return [*barriers, *([f"{width} px too wide"] if width > 0 else [])]


@pytest.fixture(params=[""])
def visitor(
    chromium: Browser, site: str, logged_in: FlaskClient, request: pytest.FixtureRequest
) -> Iterator[Visitor]:
    """A signed-in person; parametrise with "phone dark", "no script" and the like."""
    kind: str = request.param
    context = chromium.new_context(
        viewport={"width": 390 if "phone" in kind else 1440, "height": 900},
        color_scheme="dark" if "dark" in kind else "light",
        java_script_enabled="no script" not in kind,
    )
    context.set_default_timeout(_PATIENCE)
    cookie = logged_in.get_cookie("bes_session")
    assert cookie is not None
    context.add_cookies([{"name": "bes_session", "value": cookie.value, "url": site}])
    yield Visitor(context.new_page(), site)
    context.close()

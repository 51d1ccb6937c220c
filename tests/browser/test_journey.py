"""From `make run` to the last recipient: a newcomer's whole way, in a real browser, with real
processes, and with figures that the ledger confirms."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.flow.processes import Start, copy_of_the_repository, started, until
from tests.ports import free_port

PEOPLE = 1_200
EMAIL, PASSWORD = "owner@example.com", "a pass phrase for the journey"
OPEN = ("pending", "sending", "in_doubt", "sent", "delayed")


@dataclass
class Installation:
    """A running copy of the product."""

    folder: Path
    environment: dict[str, str]
    start: Start

    @property
    def site(self) -> str:
        """Where the web answers."""
        return f"http://127.0.0.1:{self.environment['PORT']}"

    def command(self, *words: str) -> dict[str, object]:
        """What `flask --app app … --json` answers."""
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "app", *words, "--json"],
            cwd=self.folder, env={**self.environment, "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        answer: dict[str, object] = json.loads(done.stdout)
        return answer


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """`make run` in a clean copy, on free ports."""
    folder = copy_of_the_repository(tmp_path / "repository")
    environment = {
        "PORT": str(free_port()),
        "SIMULATOR_PORT": str(free_port()),
        "MAX_EMAILS_PER_SECOND": "70",
    }
    with started([sys.executable, "run.py"], folder, environment) as start:
        until(lambda: "Make the first account: " in start.words(), "the start says so", 120)
        yield Installation(folder, environment, start)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window of a person who has never been here."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def _list_of_people(path: Path) -> Path:
    rows = [f"person{n}@example{n % 40}.org,Person {n},Town {n % 7}" for n in range(PEOPLE)]
    rows += ["PERSON1@example1.org,Twice,Town 1", "no-at-sign,Nobody,Town 2"]
    path.write_text("E-Mail Address,Name,City\n" + "\n".join(rows) + "\n")
    return path


def _make_the_first_account(page: Page, installation: Installation) -> None:
    link = re.search(r"Make the first account: (\S+)", installation.start.words())
    assert link
    page.goto(link[1])
    page.get_by_label("Email").fill(EMAIL)
    for field in page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def _write_a_campaign(page: Page) -> None:
    page.get_by_role("link", name="New Campaign").first.click()
    page.get_by_label("Campaign name").fill("Winter opening hours")
    page.get_by_label("Email subject").fill("News for {{ name }}")
    content = page.get_by_label("Email content")
    content.fill("<h1>Hello {{ name }</h1>")
    page.get_by_role("button", name="Save Campaign").first.click()
    expect(page.get_by_role("alert")).to_contain_text("line 1")
    content.fill("<h1>Hello {{ name }}</h1><p>News from {{ city }}.</p>")
    page.get_by_role("button", name="Save Campaign").first.click()
    expect(page.get_by_role("heading", name="Winter opening hours")).to_be_visible()


def _upload(page: Page, path: Path) -> None:
    page.get_by_role("link", name="Upload Recipients").first.click()
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name=re.compile("Upload and import|Import now")).first.click()
    expect(page.locator("main")).to_contain_text(f"{PEOPLE:,}", timeout=180_000)
    expect(page.locator("main")).to_contain_text("no-at-sign", timeout=180_000)


def _try_it(page: Page) -> None:
    page.get_by_role("link", name="Send Test Email").first.click()
    page.get_by_label("Address", exact=True).fill("success@simulator.amazonses.com")
    page.locator("main").get_by_role("button", name="Send Test Email").first.click()
    expect(page.locator("main")).to_contain_text("Delivered")


def _send_with_a_pause(page: Page) -> None:
    page.get_by_role("link", name="Start Sending").first.click()
    page.get_by_role("button", name="Start Sending").first.click()
    page.get_by_role("button", name="Pause").first.click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.get_by_role("button", name="Resume").first.click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()


def _all_final(installation: Installation) -> bool:
    """Asked of the file: a command a moment would take the processor from the product."""
    [path] = (installation.folder / "instance").glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        marks = ", ".join("?" * len(OPEN))
        query = f"SELECT count(*) FROM recipients WHERE status IN ({marks})"
        return not database.execute(query, OPEN).fetchone()[0]


def test_a_newcomer_sends_to_all_and_can_say_what_happened_to_each(
    installation: Installation, page: Page, tmp_path: Path
) -> None:
    _make_the_first_account(page, installation)
    _write_a_campaign(page)
    campaign = page.url
    _upload(page, _list_of_people(tmp_path / "people.csv"))
    page.goto(campaign)
    _try_it(page)
    page.goto(campaign)
    _send_with_a_pause(page)
    until(lambda: _all_final(installation), "every recipient is in a final state", 240)

    assert installation.command("campaigns", "recount", "1")["matches"] is True
    status = installation.command("campaigns", "status", "1")
    assert (status["status"], status["total"]) == ("sent", PEOPLE)
    page.goto(campaign)
    counts, main = status["counts"], page.locator("main")
    assert isinstance(counts, dict)
    assert not any(counts[state] for state in OPEN)
    for state in ("delivered", "bounced", "soft_bounced"):
        assert counts[state] > 0
        expect(main).to_contain_text(f"{counts[state]:,}")
    _read_why_one_bounced(page, campaign)
    assert installation.start.interrupt() == 0


def _read_why_one_bounced(page: Page, campaign: str) -> None:
    page.goto(campaign)
    page.get_by_role("link", name=re.compile("^Bounced")).last.click()
    page.locator("table a").first.click()
    expect(page.locator("main")).to_contain_text("Handed to SES")
    expect(page.locator("main")).to_contain_text(re.compile("suppression list|does not exist"))
    page.goto(page.url.partition("/campaigns")[0] + "/suppressions")
    expect(page.locator("main")).to_contain_text("@example")

"""How many processes of an installation send: as many as its rate needs, whoever starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.flow.schedulers import schedulers_of, wait_for


def test_schedulers_that_share_a_rate_start_no_more_processes_than_it_needs(
    simulator: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {**environment, "MAX_EMAILS_PER_SECOND": "400", "SENDERS": "2"}
    with schedulers_of(settings, tmp_path) as schedulers:
        first = schedulers.start()
        wait_for(lambda: "sender pid=" in first.text() and " started" in first.text())
        second = schedulers.start()
        wait_for(lambda: "ended with 0" in first.text(), 240.0)  # 200 a second each
        assert second.terminate(60.0) == 0
        wait_for(lambda: first.text().count("started") > 2, 240.0)  # the rest is all its own

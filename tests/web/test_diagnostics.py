"""The diagnostics page: worst first, each fault with its next step, never an error of its own."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.web.forms import main_words, page


def test_without_the_simulator_the_page_says_what_to_start(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/diagnostics/")
    assert answer.status_code == 200
    levels = [
        state.text_content()
        for state in page(answer).xpath("//ul//span[contains(@class, 'state')]")
    ]
    assert levels[0] == "FAIL"
    assert levels == sorted(levels, key=("FAIL", "WARN", "OK").index)
    assert "Next step: Start the simulator" in main_words(answer)


@pytest.mark.usefixtures("simulator")
def test_with_the_simulator_the_way_to_ses_is_right(logged_in: FlaskClient) -> None:
    said = main_words(logged_in.get("/diagnostics/"))
    assert "Start the simulator" not in said

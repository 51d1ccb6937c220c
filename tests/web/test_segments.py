"""Segments through their form: counted, saved, remembered, deleted."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from domain.segments import Conditions
from services import segment_counts
from services.segment_counts import Counted
from tests.web.forms import follow, main_words, page, post, words
from tests.web.test_lists import add, make_list


def fill(client: FlaskClient, at: str, **changes: Any) -> Any:
    values: dict[str, Any] = {"name": "Bonn", "in_list": 0, "tag": "", "without_tag": "",
                              "of_campaign": 0, "outcome": "everybody", "deed": "save"}  # fmt: skip
    for number in range(3):
        values |= {f"fields-{number}-name": "", f"fields-{number}-test": "is",
                   f"fields-{number}-value": ""}  # fmt: skip
    for deed in ("mailed", "opened", "clicked"):
        values |= {f"{deed}-when": "", f"{deed}-days": ""}
    return post(client, at, {**values, **changes})


@pytest.fixture
def readers(logged_in: FlaskClient) -> str:
    at = make_list(logged_in)
    add(logged_in, at, "ana@example.com", "city: Bonn")
    add(logged_in, at, "bo@example.com", "city: Rome")
    return at


BONN = {"fields-1-name": "city", "fields-1-test": "is", "fields-1-value": "bonn"}


@pytest.mark.usefixtures("readers")
def test_conditions_are_counted_at_once_without_saving(logged_in: FlaskClient) -> None:
    said = main_words(fill(logged_in, "/segments/new", deed="count", **BONN))
    assert "1 contact matches" in said
    assert "ana@example.com" in said
    assert "No segment yet" in main_words(logged_in.get("/segments/"))


@pytest.mark.usefixtures("readers")
def test_a_segment_is_saved_remembered_and_deleted(logged_in: FlaskClient) -> None:
    saved = fill(logged_in, "/segments/new", **BONN, **{"opened-when": "not_within",
                                                        "opened-days": "90"})  # fmt: skip
    at = saved.headers["Location"]
    shown = page(follow(logged_in, saved))
    assert shown.xpath("//select[@name='fields-0-name']/option[@selected]/@value") == ["city"]
    assert shown.xpath("//input[@name='opened-days']/@value") == ["90"]
    assert "Bonn" in main_words(logged_in.get("/segments/"))
    again = fill(logged_in, "/segments/new", **BONN)
    assert (again.status_code, "already" in main_words(again)) == (400, True)
    gone = main_words(follow(logged_in, post(logged_in, f"{at}/delete")))
    assert "No segment yet" in gone
    assert logged_in.get(at).status_code == 404


@pytest.mark.parametrize(
    ("half", "said"),
    [
        ({"fields-0-value": "Bonn"}, "Choose the field that the value is about."),
        ({"fields-0-name": "city"}, "Write a value, or choose “is filled in” or “is empty”."),
        ({"opened-when": "not_within"}, "Say how many days."),
        ({"opened-days": "30"}, "Choose what is asked of these days."),
        ({"outcome": "clicked"}, "Choose the campaign that this is about."),
    ],
)
@pytest.mark.parametrize("deed", ["save", "count"])
@pytest.mark.usefixtures("readers")
def test_half_a_condition_is_named_rather_than_left_out(
    logged_in: FlaskClient, half: dict[str, str], said: str, deed: str
) -> None:
    answer = fill(logged_in, "/segments/new", deed=deed, **half)
    assert answer.status_code == 400
    assert said in main_words(answer)
    assert "No segment yet" in main_words(logged_in.get("/segments/"))


@pytest.mark.usefixtures("readers")
def test_whether_a_field_is_filled_in_needs_no_value(logged_in: FlaskClient) -> None:
    asked = {"fields-0-name": "city", "fields-0-test": "filled"}
    assert "2 contacts match" in main_words(fill(logged_in, "/segments/new", deed="count", **asked))


def test_a_segment_without_a_name_is_not_saved(logged_in: FlaskClient) -> None:
    answer = fill(logged_in, "/segments/new", name=" ")
    assert (answer.status_code, "needs a name" in main_words(answer)) == (400, True)


@pytest.mark.usefixtures("readers")
def test_a_count_that_takes_long_is_estimated_and_then_fetched_exactly(
    logged_in: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimated(session: object, asked: Conditions, chance: object) -> Counted:
        return Counted(1200, False)

    monkeypatch.setattr(segment_counts, "count_at_once", estimated)
    shown = page(fill(logged_in, "/segments/new", deed="count", **BONN))
    part = shown.xpath("//*[@data-live]")[0]
    assert "≈ 1,200 contacts match" in words(part)
    assert float(part.get("data-next")) > 0
    answer = logged_in.get(part.get("data-live"))
    assert "1 contact matches" in words(page(answer))
    assert answer.headers["X-Next-In"] == "0"
    assert shown.xpath("//noscript//button[@value='exact']")
    plain = main_words(fill(logged_in, "/segments/new", deed="exact", **BONN))
    assert "1 contact matches" in plain
    assert "≈" not in plain


@pytest.mark.parametrize("asked", ["", "[]", "{", '{"fields": [{"name": "x"}]}', '{"times": 7}'])
def test_a_count_of_what_are_no_conditions_is_refused(logged_in: FlaskClient, asked: str) -> None:
    assert logged_in.get("/segments/count", query_string={"asked": asked}).status_code == 400

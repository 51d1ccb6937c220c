"""Messages that nobody honest sends: read within bounds, kept for a person, never an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.event_raw import unpack
from domain.opens import Engagement, Evidence, tally
from domain.ses_events import MOST_RECIPIENTS, NotAnEvent, Unrecognised, parse_text
from domain.sns_messages import NotSns, parse_envelope
from services.delivery_events import Incoming

_MAIL = {
    "messageId": "m-1",
    "destination": ["ada@example.com"],
    "timestamp": "2026-03-02T09:00:00Z",
}


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def event_text(kind: str, **parts: object) -> str:
    return json.dumps({"eventType": kind, "mail": _MAIL, **parts})


@pytest.mark.parametrize("kind", ["Teleported", "Delivery", "Bounce", "Open"])
def test_every_depth_of_nesting_is_answered(kind: str) -> None:
    outcomes: set[str] = set()
    for depth in range(100, 1100, 7):
        text = event_text(kind, bounce={"bouncedRecipients": [{"emailAddress": "a@example.com"}]})
        text = f'{text[:-1]}, "deep": {nested(depth)}}}'
        parsed = parse_text(text)
        if isinstance(parsed, Unrecognised):
            outcomes.add(parsed.what)
        else:
            unpack(Incoming.of(text, parsed, "sqs").raw)
            outcomes.add("event")
    assert {"event", NotAnEvent.FOREIGN} <= outcomes


def test_an_envelope_of_any_depth_is_no_sns_message() -> None:
    for depth in range(100, 1100, 7):
        for field in ("Type", "TopicArn", "Subject"):
            with pytest.raises(NotSns):
                parse_envelope(f'{{"Type": "Notification", "{field}": {nested(depth)}}}')


@pytest.mark.parametrize("kind", ["Send", "Teleported", "Bounce", "Complaint", "Delivery"])
def test_an_event_that_names_more_people_than_a_mail_can_have_is_kept_whole(kind: str) -> None:
    def parse(number: int) -> object:
        people = [f"p{n}@example.com" for n in range(number)]
        named = [{"emailAddress": one} for one in people]
        return parse_text(
            json.dumps(
                {
                    "eventType": kind,
                    "mail": _MAIL | {"destination": people},
                    "bounce": {"bounceType": "Permanent", "bouncedRecipients": named},
                    "complaint": {"complainedRecipients": named},
                    "delivery": {"recipients": people},
                }
            )
        )

    most = parse(MOST_RECIPIENTS)
    assert isinstance(most, list)
    assert len(most) == MOST_RECIPIENTS
    too_many = parse(5000)
    assert isinstance(too_many, Unrecognised)
    assert too_many.what is NotAnEvent.BROKEN
    assert "5,000" in too_many.sentence


@pytest.mark.parametrize(
    "stamp",
    ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "2300-01-01T00:00:00Z"],
)
def test_a_time_that_no_mail_can_have_counts_as_absent(stamp: str) -> None:
    (event,) = parse_text(event_text("Open", open={"timestamp": stamp}))  # type: ignore[misc]
    assert event.happened_at == datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_thousands_of_clicks_on_one_mail_are_not_compared_with_each_other() -> None:
    read = []

    class Counting(Engagement):
        """An engagement that notes how often its link is looked at."""

        def __getattribute__(self, name: str) -> Any:
            if name == "link":
                read.append(1)
            return super().__getattribute__(name)

    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    clicks = [
        Counting(start + timedelta(milliseconds=10 * n), Evidence.UNSAID, f"{n % 50:x}")
        for n in range(2000)
    ]
    counted = tally(clicks, None)
    assert (counted.machine_clicks.count, counted.clicks.count) == (2000, 0)
    assert len(read) < 20_000  # each with each would be hundreds of thousands

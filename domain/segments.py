"""What a segment asks of a contact: every condition must hold. Values only; SQL is elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from domain.statuses import MailOutcome


class FieldTest(StrEnum):
    """How a field is compared; without regard to capitals."""

    IS = "is"
    IS_NOT = "is_not"
    CONTAINS = "contains"
    BEGINS = "begins"
    FILLED = "filled"
    EMPTY = "empty"


class When(StrEnum):
    """Whether something happened lately."""

    WITHIN = "within"
    NOT_WITHIN = "not_within"  # longer ago, or never


class Deed(StrEnum):
    """What happened last to a contact."""

    MAILED = "mailed"
    OPENED = "opened"
    CLICKED = "clicked"


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field of the contact; `email` is the address."""

    name: str
    test: FieldTest
    value: str = ""


@dataclass(frozen=True, slots=True)
class TimeCondition:
    """Something that did or did not happen in the last `days`."""

    deed: Deed
    when: When
    days: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """All of them together; what is None or empty asks nothing."""

    fields: tuple[FieldCondition, ...] = ()
    times: tuple[TimeCondition, ...] = ()
    list_id: int | None = None
    tag: str | None = None
    without_tag: str | None = None
    campaign_id: int | None = None
    outcome: MailOutcome | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Conditions:
        """What `as_json` wrote."""
        outcome = stored.get("outcome")
        return cls(
            fields=tuple(
                FieldCondition(one["name"], FieldTest(one["test"]), one["value"])
                for one in stored.get("fields", ())
            ),
            times=tuple(
                TimeCondition(Deed(one["deed"]), When(one["when"]), int(one["days"]))
                for one in stored.get("times", ())
            ),
            list_id=stored.get("list_id"),
            tag=stored.get("tag"),
            without_tag=stored.get("without_tag"),
            campaign_id=stored.get("campaign_id"),
            outcome=MailOutcome(outcome) if outcome else None,
        )

    @property
    def asks_nothing(self) -> bool:
        """Whether everybody would match."""
        return self == Conditions()

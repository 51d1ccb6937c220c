"""Fields of SES's JSON, read leniently: one of the wrong kind counts as absent.

Texts come out without what a database cannot store, times aware and in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

#: SES was not there before and nothing is due after; other times come from a clock that is far
#: off, and some of them no database gives back as they were stored.
_YEARS = range(2000, 2200)


def object_in(parent: dict[str, Any], name: str) -> dict[str, Any]:
    """The object under a name, or an empty one."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def objects_in(parent: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a list; whatever else it holds is left out."""
    value = parent.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_in(parent: dict[str, Any], name: str) -> str:
    """The text, without what a database cannot store (NUL, half of a surrogate pair)."""
    value = parent.get(name)
    if not isinstance(value, str):
        return ""
    return value if is_storable(value) else storable(value)


def texts_in(parent: dict[str, Any], name: str) -> list[str]:
    """The texts in a list; whatever else it holds is left out."""
    value = parent.get(name)
    if not isinstance(value, list):
        return []
    return [
        item if is_storable(item) else storable(item) for item in value if isinstance(item, str)
    ]


def is_storable(text: str) -> bool:
    """Whether a text is surely stored as it is; a quick look that nearly every text passes."""
    return text.isascii() and "\0" not in text


def storable(text: str) -> str:
    """The text without what a database cannot store (NUL, half of a surrogate pair)."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def time_in(parent: dict[str, Any], name: str) -> datetime | None:
    """An aware UTC time; SES writes ISO 8601 with Z, older material other shapes of it."""
    text = text_in(parent, name)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
        except ValueError:
            return None
    if not moment.tzinfo:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC) if moment.year in _YEARS else None

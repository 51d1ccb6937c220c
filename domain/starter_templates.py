"""The templates a new mail can start from; their HTML lies in `templates/starters`.

They are part of the program like code, read once and never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[1] / "templates" / "starters"
_STARTERS = (
    ("newsletter", "Newsletter", "A main story and two short ones.", "What is new this month"),
    ("announcement", "Announcement", "One piece of news, one big button.", "It is here"),
    ("letter", "Plain letter", "Words only, as from one person to another.", "A word from us"),
)


@dataclass(frozen=True, slots=True)
class StarterTemplate:
    """A ready mail: `key` names its file, `name` and `description` its card."""

    key: str
    name: str
    description: str
    subject: str
    html: str


@cache
def starter_templates() -> tuple[StarterTemplate, ...]:
    """All starters, in the order they are offered."""
    return tuple(
        StarterTemplate(
            key, name, description, subject, (_FOLDER / f"{key}.html").read_text("utf-8")
        )
        for key, name, description, subject in _STARTERS
    )

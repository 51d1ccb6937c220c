"""What the tags of our own mails say, as SES events carry them (written by domain.outgoing)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.ses_json import is_storable, object_in, storable


@dataclass(frozen=True, slots=True)
class OurTags:
    """What the tags of one of our mails say; all None for other mails and the older form."""

    install: str | None = None
    campaign_id: int | None = None
    recipient_id: int | None = None
    attempt_id: str | None = None
    test_attempt_id: str | None = None


_NO_TAGS = OurTags()


def our_tags(mail: dict[str, Any]) -> OurTags:
    """Our own tags; SES gives every tag as a list, of which the first counts."""
    tags = object_in(mail, "tags")
    if "bes_install" not in tags:
        return _NO_TAGS
    return OurTags(
        install=_first(tags, "bes_install"),
        campaign_id=_number(_first(tags, "bes_campaign")),
        recipient_id=_number(_first(tags, "bes_recipient")),
        attempt_id=_first(tags, "bes_attempt"),
        test_attempt_id=_first(tags, "bes_test"),
    )


def _first(tags: dict[str, Any], name: str) -> str | None:
    values = tags.get(name)
    if isinstance(values, list) and values and isinstance(values[0], str):
        return values[0][:64] if is_storable(values[0]) else storable(values[0])[:64]
    return None


def _number(text: str | None) -> int | None:
    """A row id; longer digits are no id of ours and would overflow the column."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None

"""Template substitution as SES does it for inline templates: `{{name}}`, dotted paths, no escaping.

SES escapes neither `{{x}}` nor `{{{x}}}`. A name that the data lacks is a rendering failure,
which SES reports by event after it accepted the call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

_TAG: Final = re.compile(r"\{\{\{\s*([\w.\-]+)\s*\}\}\}|\{\{\s*([\w.\-]+)\s*\}\}")


class RenderingFailure(Exception):
    """A name in the template that the data does not have; the text is as SES words it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Attribute '{name}' is not present in the rendering data.")


def has_blocks(template: str) -> bool:
    """Whether braces remain that are no substitution, such as `{{#if}}` or `{{ a b }}`."""
    return any("{{" in text.replace("{{ses:", "") for text in _pieces(template)[::2])


@lru_cache(maxsize=512)
def _pieces(template: str) -> tuple[str, ...]:
    """Constant text at even places, names at odd ones."""
    pieces: list[str] = []
    end = 0
    for match in _TAG.finditer(template):
        pieces += (template[end : match.start()], match[1] or match[2])
        end = match.end()
    pieces.append(template[end:])
    return tuple(pieces)


def names(template: str) -> tuple[str, ...]:
    """Every name that the template uses."""
    return _pieces(template)[1::2]


def render(template: str, data: Mapping[str, Any]) -> str:
    """The template with its values. Raises RenderingFailure."""
    pieces = _pieces(template)
    if len(pieces) == 1:
        return template
    out = list(pieces)
    for place in range(1, len(pieces), 2):
        out[place] = value_of(pieces[place], data)
    return "".join(out)


def value_of(name: str, data: Mapping[str, Any]) -> str:
    """The text of one value. Raises RenderingFailure."""
    value: Any = data
    for part in (name,) if name in data else name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise RenderingFailure(name)
        value = value[part]
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)

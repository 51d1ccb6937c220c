"""The plain-text part of a mail, written from its HTML once, with merge tags left whole."""

from __future__ import annotations

import re
from typing import Any

from inscriptis.css_profiles import RELAXED_CSS_PROFILE
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml.html import document_fromstring  # type: ignore[import-untyped]

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)
#: A merge tag on its way through the HTML parser: private-use letters around its number.
_TOKEN = re.compile("\ue000(\\d+)\ue001")
_SHOWN = ("http:", "https:", "mailto:", "tel:", "\ue000")


def text_from_html(html: str) -> str:
    """Readable text for an HTML template; links become `words: address`.

    `{% … %}` tags that the layout would tear apart are left out, with what they enclose kept.
    """
    tags: list[str] = []

    def hide(match: re.Match[str]) -> str:
        if match.group().startswith("{#"):
            return ""
        tags.append(match.group())
        return f"\ue000{len(tags) - 1}\ue001"

    hidden = _TAG.sub(hide, html.replace("\x00", ""))
    if not hidden.strip():
        return ""
    text = _layout(hidden)
    statements = [number for number, tag in enumerate(tags) if tag.startswith("{%")]
    found = [int(number) for number in _TOKEN.findall(text)]
    whole = [number for number in found if tags[number].startswith("{%")] == statements

    def show(match: re.Match[str]) -> str:
        tag = tags[int(match.group(1))]
        return tag if whole or not tag.startswith("{%") else ""

    return _tidy(_TOKEN.sub(show, text))


def _layout(html: str) -> str:
    tree = document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", html))
    for image in tree.iter("img"):
        image.tail = (image.get("alt") or "") + (image.tail or "")
    for link in list(tree.iter("a")):
        _write_out(link)
    config = ParserConfig(css=RELAXED_CSS_PROFILE.copy(), display_links=False)
    return str(Inscriptis(tree, config).get_text())


def _write_out(link: Any) -> None:
    """Put the address behind the words of a link."""
    address = (link.get("href") or "").strip()
    words = " ".join(link.text_content().split())
    shown = address.removeprefix("mailto:")
    if not address.lower().startswith(_SHOWN) or shown == words:
        return
    addition = f": {shown}" if words else shown
    if len(link):
        link[-1].tail = (link[-1].tail or "").rstrip() + addition
    else:
        link.text = (link.text or "").rstrip() + addition


def _tidy(text: str) -> str:
    """No spaces left over from table cells, no more than one blank line."""
    lines = []
    for line in text.splitlines():
        bare = re.sub(r"[ \t\u00a0\u200b\u200c\u034f\u00ad]{2,}", "  ", line).strip(
            "\u00a0 \t\u200c"
        )
        lines.append(f"  {bare}" if bare.startswith("* ") else bare)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"

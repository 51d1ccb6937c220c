"""The plain-text part of a mail, written from its HTML once, with merge tags left whole."""

from __future__ import annotations

import re
from typing import Any

from inscriptis.css_profiles import RELAXED_CSS_PROFILE
from inscriptis.html_engine import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml.etree import Comment, ParserError
from lxml.html import document_fromstring

_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.S)
#: A merge tag on its way through the HTML parser: private-use letters around its number.
_TOKEN = re.compile("\ue000(\\d+)\ue001")
_BLOCKS = {"p", "div", "table", "ul", "ol", "h1", "h2", "h3", "h4", "section", "center"}
_ALONE = re.compile(r"^((?:\{%[^%]*%\})+)\n+", re.M)
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
    pieces = re.split(r"(<[^>]*>)", hidden)  # text, tag, text, tag, …
    outside = {number for text in pieces[::2] for number in _numbers(text)}
    statements = {number for number in outside if tags[number].startswith("{%")}
    text = _layout(_comments(pieces, statements), tags)
    found = _numbers(text)
    whole = found == sorted(found) and statements <= set(found)

    def show(match: re.Match[str]) -> str:
        tag = tags[int(match.group(1))]
        return tag if whole or not tag.startswith("{%") else ""

    # A statement on a line of its own would leave blank lines wherever it holds nothing.
    return _ALONE.sub(r"\1", _tidy(_TOKEN.sub(show, text)))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _TOKEN.findall(text)]


def _comments(pieces: list[str], statements: set[int]) -> str:
    """Statements between elements as comments: a parser leaves those where they are."""

    def comment(token: re.Match[str]) -> str:
        return f"<!--{token.group()}-->" if int(token.group(1)) in statements else token.group()

    return "".join(
        piece if number % 2 else _TOKEN.sub(comment, piece) for number, piece in enumerate(pieces)
    )


def _layout(html: str, tags: list[str]) -> str:
    try:
        tree = document_fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", html))
    except ParserError:  # nothing but comments
        return ""
    _bring_inside(tree)
    for comment in list(tree.iter(Comment)):
        token = _TOKEN.fullmatch(comment.text or "")
        if token:
            _set_down(comment, token.group(), tags[int(token.group(1))])
    for table in list(tree.iter("table")):
        _unfold(table)
    for image in tree.iter("img"):
        image.tail = (image.get("alt") or "") + (image.tail or "")
    for link in list(tree.iter("a")):
        _write_out(link)
    config = ParserConfig(css=RELAXED_CSS_PROFILE.copy(), display_links=False)
    return str(Inscriptis(tree, config).get_text())


def _bring_inside(tree: Any) -> None:
    """Comments before and behind the document go to the begin and the end of its body."""
    body = tree.find("body")
    if body is None:
        return
    before = [one for one in tree.itersiblings(preceding=True) if one.tag is Comment]
    behind = [one for one in tree.itersiblings() if one.tag is Comment]
    for comment in before:
        comment.tail = None
        body.insert(0, comment)
    if before:
        before[0].tail, body.text = body.text, None
    for comment in behind:
        body.append(comment)


def _set_down(comment: Any, token: str, tag: str) -> None:
    """Put a statement into the text: between table rows, into the nearest cell."""
    if comment.getparent().tag not in ("table", "tbody", "thead", "tfoot", "tr"):
        comment.tail = token + (comment.tail or "")
        return
    if re.match(r"\{%[-+]?\s*end", tag):
        cell = next(iter(comment.xpath("preceding::td[1] | preceding::th[1]")[-1:]), None)
        if cell is not None and len(cell):
            cell[-1].tail = (cell[-1].tail or "") + token
        elif cell is not None:
            cell.text = (cell.text or "") + token
    else:
        cell = next(iter(comment.xpath("following::td[1] | following::th[1]")), None)
        if cell is not None:
            cell.text = token + (cell.text or "")


def _unfold(table: Any) -> None:
    """A table that is there for the layout reads from top to bottom, one with figures does not."""
    own = table.xpath("./tr | ./*/tr")
    cells = [cell for row in own for cell in row.xpath("./td | ./th")]
    layout = table.get("role") == "presentation" or any(
        child.tag in _BLOCKS for cell in cells for child in cell
    )
    if layout:
        for element in (table, *table.xpath("./tbody | ./thead | ./tfoot"), *own, *cells):
            element.tag = "div"


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
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return f"{text}\n" if text else ""

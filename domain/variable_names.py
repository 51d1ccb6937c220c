"""How a column header becomes the name of a template variable: `First Name` → `first_name`."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from functools import cache

from jinja2 import Environment, TemplateSyntaxError

#: Names that every mail has anyway, and words that a template cannot use as a name.
RESERVED_NAMES = frozenset(
    {"email", "unsubscribe_url", "campaign_name", "postal_address", "loop", "self", "super",
     "caller", "varargs", "kwargs", "true", "false", "none", "if", "elif", "else", "endif", "for",
     "endfor", "in", "is", "not", "and", "or", "set", "block", "macro", "call", "filter",
     "range", "dict"}
)  # fmt: skip
_LONGEST = 60
_TEMPLATES = Environment()  # noqa: S701 - it only cuts names into tokens
#: Latin letters that Unicode does not take apart.
_LATIN = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE",
                        "œ": "oe", "Œ": "OE", "đ": "d", "Đ": "D", "ı": "i", "þ": "th"})  # fmt: skip


def variable_name(header: str, taken: Collection[str]) -> str:
    """The name for a header: lower case, accents off, words joined by `_`, unlike `taken`.

    Letters of other scripts stay as they are. A name that is taken or reserved gets `_2`, `_3`…
    """
    header = header.strip().replace("E-mail", "Email").replace("e-mail", "email")
    plain = unicodedata.normalize("NFKD", header.translate(_LATIN))
    latin = "".join(sign for sign in plain if not unicodedata.combining(sign))
    base = latin if latin.isascii() else unicodedata.normalize("NFKC", header)
    words = "".join(_in_a_word(sign) for sign in _split_camel(base)).split()
    name = "_".join(words).lower()[:_LONGEST].strip("_")
    if not name or not (name[0].isalpha() and name.isidentifier()):
        cleaned = "".join(sign for sign in name if f"a{sign}".isidentifier())
        name = f"column_{cleaned}" if cleaned else "column"
    unique, number = name, 2
    while unique in taken or unique in RESERVED_NAMES:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _in_a_word(sign: str) -> str:
    """The sign as it stands in a name: nothing for marks that Jinja does not know, a gap between
    words for all that is no letter, mark or digit."""
    kind = unicodedata.category(sign)[0]
    if kind == "M" and not _is_known(sign):
        return ""
    return sign if kind in "LMN" else " "


@cache
def _is_known(mark: str) -> bool:
    """Whether Jinja reads a mark in a name: it knows those of the Unicode of its own time."""
    try:
        list(_TEMPLATES.lex(f"{{{{ a{mark} }}}}"))
    except TemplateSyntaxError:
        return False
    return True


def _split_camel(text: str) -> str:
    """`FirstName` → `First Name`; `EMAIL` and `iOS` stay whole."""
    pieces = []
    for before, sign in zip(" " + text, text, strict=False):
        if sign.isupper() and before.islower() and len(text) > 4:
            pieces.append(" ")
        pieces.append(sign)
    return "".join(pieces)

"""How a column header becomes the name of a template variable: `First Name` → `first_name`."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

#: Names that every mail has anyway, and words that a template cannot use as a name.
RESERVED_NAMES = frozenset(
    {"email", "unsubscribe_url", "campaign_name", "postal_address", "loop", "self", "super",
     "caller", "varargs", "kwargs", "true", "false", "none", "if", "elif", "else", "endif", "for",
     "endfor", "in", "is", "not", "and", "or", "set", "block", "macro", "call", "filter",
     "range", "dict"}
)  # fmt: skip
_LONGEST = 60
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
    words = "".join(sign if _in_word(sign) else " " for sign in _split_camel(base)).split()
    name = "_".join(words).lower()[:_LONGEST].strip("_")
    if not name or not (name[0].isalpha() and name.isidentifier()):
        cleaned = "".join(sign for sign in name if f"a{sign}".isidentifier())
        name = f"column_{cleaned}" if cleaned else "column"
    unique, number = name, 2
    while unique in taken or unique in RESERVED_NAMES:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _in_word(sign: str) -> bool:
    return unicodedata.category(sign)[0] in "LMN"  # letters, their marks, digits


def _split_camel(text: str) -> str:
    """`FirstName` → `First Name`; `EMAIL` and `iOS` stay whole."""
    pieces = []
    for before, sign in zip(" " + text, text, strict=False):
        if sign.isupper() and before.islower() and len(text) > 4:
            pieces.append(" ")
        pieces.append(sign)
    return "".join(pieces)

"""Refused rows in a few groups, by the sentence that says why: for counting and for filtering."""

from __future__ import annotations

from enum import StrEnum


class RefusalKind(StrEnum):
    """A group of reasons."""

    EMPTY = "empty"
    NO_AT = "no_at"
    SEVERAL = "several"
    TWO_AT = "two_at"
    AROUND = "around"
    SPACE = "space"
    DOTS = "dots"
    LETTERS = "letters"
    DOMAIN = "domain"
    BROKEN_ROW = "broken_row"
    OTHER = "other"


#: How the sentences of domain.addresses and domain.text_tables begin, by group.
STARTS = {
    RefusalKind.EMPTY: ("There is no address.",),
    RefusalKind.NO_AT: ("This is no e-mail address",),
    RefusalKind.SEVERAL: ("There is more than one address",),
    RefusalKind.TWO_AT: ("There is more than one @",),
    RefusalKind.AROUND: (
        "There is more than an address",
        "There is a sign around",
        "Quotation marks do not belong",
    ),
    RefusalKind.SPACE: ("There is a space",),
    RefusalKind.DOTS: ("There are two dots",),
    RefusalKind.LETTERS: ("The part before the @ has letters",),
    RefusalKind.DOMAIN: ("The part after the @",),
    RefusalKind.BROKEN_ROW: ("The row has", "A quotation mark", "This line is not readable"),
}


def kind_of(reason: str) -> RefusalKind:
    """The group of a sentence."""
    for kind, starts in STARTS.items():
        if reason.startswith(starts):
            return kind
    return RefusalKind.OTHER

"""E-mail addresses: what is one, what "the same address" means, the hash that stands for one.

SES takes 7-bit local parts and Punycode domains only (SES API, `Destination`), so an address
that needs SMTPUTF8 is refused here and every domain is turned into Punycode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailSyntaxError, validate_email

#: What people and programs leave around an address without meaning it: white space of any
#: script, zero-width characters, byte order marks, control characters.
_EDGE = "".join(
    map(chr, (*range(0x21), 0x85, 0xA0, 0xAD, 0x1680, 0x180E, *range(0x2000, 0x2010),
              *range(0x2028, 0x2030), 0x205F, *range(0x2060, 0x2070), 0x3000, 0xFEFF))
)  # fmt: skip
#: Signs that may stand around an address; taken off only to offer the mend.
_AROUND = _EDGE + ",;:|.'\"`´<>()[]{}“”„«»‘’"
#: Of these, an address may begin with an apostrophe, a brace and the like (RFC 5321 atext).
_BEFORE = "".join(sign for sign in _AROUND if sign not in "'`{|}")

_ATOM = r"[A-Za-z0-9_!#$%&'*+\-/=?^`{|}~]"
_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: Plain addresses that email-validator accepts, a tenth of its time; the rest it judges itself.
#: RFC 5321 4.5.3.1: 64 before the @, 254 in all. `??--` labels (Punycode among them) are not plain.
_PLAIN = re.compile(
    rf"(?=.{{3,254}}\Z)({_ATOM}+(?:\.{_ATOM}+)*)@((?:{_LABEL}\.)+(?!..--)"
    r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,61})?[A-Za-z])\Z"
)
_RESERVED = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)
_IP_LITERAL = re.compile(r"\[[^\]]*\]|\d{1,3}(\.\d{1,3}){3}")
_EACH = re.compile(r"[^\s<>()\[\],;:\"“”„‘’|]+@[^\s<>()\[\],;:\"“”„‘’|]+")
_NAMED = re.compile(r"[^<>@]*<([^<>]+)>[\s,;]*|(\S+@\S+?)(?:\s*\([^()]*\)|\s[^@]*)")
_SPACED = re.compile(r"\s*([@.])\s*")


@dataclass(frozen=True, slots=True)
class ParsedAddress:
    """A valid address. `email` is what SES gets, `address` is the key, `domain` its right side."""

    email: str
    address: str
    domain: str


@dataclass(frozen=True, slots=True)
class AddressProblem:
    """Why a text is no address; `mend` is the address that was probably meant, if one is plain."""

    sentence: str
    mend: str | None = None

    def __str__(self) -> str:
        """The sentence with the mend offered."""
        return f"{self.sentence} Did you mean {self.mend}?" if self.mend else self.sentence


def address_key(email: str) -> str:
    """The key under which two spellings are one address: trimmed, lower case, Punycode domain.

    Dots and `+tags` stay: they are different mailboxes at most providers. Total: a text that
    is no address gets a key as well.
    """
    text = email.strip(_EDGE)
    local, at, domain = text.rpartition("@")
    if not at:
        return text.lower()
    return f"{local.lower()}@{_punycode(domain.rstrip('.').lower())}"


def address_hash(secret: bytes, email: str) -> bytes:
    """16 bytes that stand for an address; only who has the installation's key can test one."""
    return key_hash(secret, address_key(email))


def key_hash(secret: bytes, key: str) -> bytes:
    """`address_hash` of a text that is already an address key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), key=secret, digest_size=16).digest()


def check_syntax(text: str) -> ParsedAddress | AddressProblem:
    """The address in `text`, or the fault in one sentence, with the mend where one is plain.

    Decoration is taken off: white space, zero-width characters, `mailto:`, bare angle brackets,
    a trailing comma. The verdict is email-validator's (strict, no SMTPUTF8, no quoted local
    part, no address literal); names under `.test` pass as syntax and fail at the MX look-up.
    """
    plain = _PLAIN.match(text)
    if plain is None:
        text = undecorated(text)
        plain = _PLAIN.match(text)
    if plain is not None:
        local, domain = plain.groups()
        domain = domain.lower()
        if len(local) <= 64 and len(domain) <= 253 and not domain.endswith(_RESERVED):
            return ParsedAddress(f"{local}@{domain}", f"{local.lower()}@{domain}", domain)
    return check_by_the_book(text)


def check_by_the_book(text: str) -> ParsedAddress | AddressProblem:
    """`check_syntax` without the fast path, for a text whose decoration is off already."""
    fault = _common_fault(text)
    if fault is not None:
        return fault
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            strict=True,
            test_environment=True,  # lets `.test` pass; a dotless `test` is refused below
        )
    except EmailSyntaxError as error:
        return AddressProblem(_sentence(str(error)))
    domain = found.ascii_domain
    if "." not in domain:
        return AddressProblem(f"The part after the @ ({domain}) has no dot.")
    local = text.rpartition("@")[0]
    return ParsedAddress(f"{local}@{domain}", f"{local.lower()}@{domain}", domain)


def undecorated(text: str) -> str:
    """The text without what clearly does not belong to an address."""
    text = text.strip(_EDGE)
    if text[:7].lower() == "mailto:":
        text = text[7:].partition("?")[0].strip(_EDGE)
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip(_EDGE)
    return text.rstrip("," + _EDGE)


def _common_fault(text: str) -> AddressProblem | None:
    """The faults people make most, in plainer words than the library's."""
    if not text:
        return AddressProblem("There is no address.")
    if len(text) > 320:
        return AddressProblem("This is too long to be an address.")
    if "@" not in text:
        return AddressProblem("This is no e-mail address: it has no @.")
    if sum(1 for found in _EACH.findall(text) if _PLAIN.match(found)) > 1:
        return AddressProblem("There is more than one address in this cell: keep one per row.")
    return _fault_around(text) or _fault_inside(text)


def _fault_around(text: str) -> AddressProblem | None:
    """Names, quotation marks and separators beside what may be a good address."""
    local, _, domain = text.partition("@")
    if text.startswith('"') or local.endswith('"'):
        return AddressProblem("Quotation marks do not belong into an address.", _mend(text))
    if "@" in domain:
        return AddressProblem("There is more than one @ in it.")
    if _NAMED.fullmatch(text) and _mend(text):
        return AddressProblem("There is more than an address in this cell.", _mend(text))
    if text != text.lstrip(_BEFORE).rstrip(_AROUND) and (mend := _mend(text)):
        return AddressProblem("There is a sign around the address that is not part of it.", mend)
    return None


def _fault_inside(text: str) -> AddressProblem | None:
    """What is wrong with the address itself."""
    local, _, domain = text.partition("@")
    if not local.isascii():
        return AddressProblem(
            "The part before the @ has letters that Amazon SES cannot deliver to: only a-z, 0-9 "
            "and a few signs are possible."
        )
    if any(sign.isspace() for sign in text):
        return AddressProblem("There is a space in it.", _mend(text))
    if ".." in text:
        return AddressProblem("There are two dots in a row.", _mend(text))
    if _IP_LITERAL.fullmatch(domain):
        return AddressProblem("The part after the @ is a number, not a domain.")
    if domain and "." not in domain and domain.isascii():
        return AddressProblem(f"The part after the @ ({domain}) has no dot.")
    return None


def _mend(text: str) -> str | None:
    """The one address that was plainly meant, or None: nothing inside it is guessed."""
    named = _NAMED.fullmatch(text)
    for candidate in (
        (named[1] or named[2]).strip(_AROUND) if named else text.strip(_AROUND),
        _SPACED.sub(r"\1", text),
        re.sub(r"\.{2,}", ".", text),
    ):
        if candidate != text and _PLAIN.match(candidate):
            return candidate
    return None


def _sentence(words: str) -> str:
    return words.replace("@-sign", "@").replace("period", "dot").replace(
        "The email address", "The address"
    )  # fmt: skip


def _punycode(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except UnicodeError:
        return domain

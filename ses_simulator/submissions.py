"""Parsing and checking of what the send calls carry, before anything is accepted.

Rules from the SESv2 API reference and developer guide: 50 recipients, 15 headers, tag alphabet,
ASCII local parts, headers that may not be overridden.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from ses_simulator.aws_errors import AwsError
from ses_simulator.outbox import bare_address

MAX_RECIPIENTS: Final = 50
MAX_ENTRIES: Final = 50
MAX_HEADERS: Final = 15
MAX_TAGS: Final = 50
MAX_TEMPLATE_DATA: Final = 262_144
MAX_INLINE_REQUEST: Final = 1_048_576
MAX_MESSAGE: Final = 41_943_040

_ADDRESS: Final = re.compile(
    r"[!#-'*+\-/-9=?A-Z^-~.]{1,64}@"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_TAG: Final = re.compile(r"[A-Za-z0-9_\-]{1,256}")
_HEADER_NAME: Final = re.compile(r"[!-9;-@A-~]{1,126}")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{1,995}")
_FORBIDDEN_HEADERS: Final = frozenset(
    {
        "bcc",
        "cc",
        "content-disposition",
        "content-type",
        "date",
        "from",
        "message-id",
        "mime-version",
        "reply-to",
        "return-path",
        "subject",
        "to",
    }
)


def bad_request(message: str) -> AwsError:
    """BadRequestException."""
    return AwsError("BadRequestException", message)


def check_address(text: str) -> str:
    """The bare address. Raises BadRequestException in SES's words."""
    address = bare_address(text)
    if _ADDRESS.fullmatch(address):
        return address
    local, at, domain = address.rpartition("@")
    if not at or not domain:
        raise bad_request("Missing final '@domain'")
    if not local.isascii():
        raise bad_request("Local address contains non-ASCII characters")
    if any(c <= " " or c == "\x7f" for c in local):
        raise bad_request("Local address contains control or whitespace")
    if not domain.isascii():
        raise bad_request("Domain contains non-ASCII characters")
    if domain.endswith("."):
        raise bad_request("Domain ends with dot")
    raise bad_request("Illegal address")


def destination(value: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """To, Cc and Bcc of a Destination, checked."""
    lists = []
    for name in ("ToAddresses", "CcAddresses", "BccAddresses"):
        addresses = tuple(value.get(name) or ())
        for address in addresses:
            check_address(address)
        lists.append(addresses)
    total = sum(map(len, lists))
    if total > MAX_RECIPIENTS:
        raise bad_request(f"Recipient count exceeds {MAX_RECIPIENTS}.")
    return tuple(lists)


@lru_cache(maxsize=256)
def _check_tag_name(name: str) -> None:
    if not _TAG.fullmatch(name):
        raise bad_request(
            f"Invalid tag name <{name}>: only alphanumeric ASCII characters, "
            "'_', and '-' are allowed."
        )


def tags(value: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Message tags by name, checked."""
    found = {}
    for tag in value or ():
        name, content = tag.get("Name", ""), tag.get("Value", "")
        _check_tag_name(name)
        if not _TAG.fullmatch(content):
            raise bad_request(
                f"Invalid tag value <{content}>: only alphanumeric ASCII characters, "
                "'_', and '-' are allowed."
            )
        found[name] = content
    if len(found) > MAX_TAGS:
        raise bad_request(f"Too many tags: at most {MAX_TAGS} are allowed.")
    return found


@lru_cache(maxsize=256)
def _check_header_name(name: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise bad_request(f"Invalid header name: {name}")
    if name.lower() in _FORBIDDEN_HEADERS:
        raise bad_request(f"Header {name} cannot be overridden.")


def headers(value: Sequence[Mapping[str, str]] | None) -> tuple[tuple[str, str], ...]:
    """Custom headers, checked."""
    if not value:
        return ()
    found = []
    for header in value:
        name, content = header.get("Name", ""), header.get("Value", "")
        _check_header_name(name)
        if not _HEADER_VALUE.fullmatch(content) or len(name) + len(content) > 996:
            raise bad_request(f"Invalid value of header {name}")
        found.append((name, content))
    if len(found) > MAX_HEADERS:
        raise bad_request(f"Too many headers: at most {MAX_HEADERS} are allowed.")
    return tuple(found)


def replaced_headers(
    default: tuple[tuple[str, str], ...], replacement: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Default headers with an entry's own over them: same names are replaced, others added."""
    if not replacement:
        return default
    names = {name.lower() for name, _ in replacement}
    return tuple(h for h in default if h[0].lower() not in names) + replacement


def sender(value: str | None) -> str:
    """FromEmailAddress, checked."""
    if not value:
        raise bad_request("Missing required parameter: FromEmailAddress")
    check_address(value)
    return value

"""Reading single values of an environment, and collecting what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlsplit

_Choice = TypeVar("_Choice", bound=StrEnum)


class EnvironmentReader:
    """Values by name; `problems` gets a sentence for each that cannot be used."""

    def __init__(self, env: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self.env = env
        self.read_file = read_file  # raises OSError
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The value of NAME, or the content of the file that NAME_FILE names."""
        path = self.env.get(f"{name}_FILE", "").strip()
        if path:
            try:
                return self.read_file(path).strip()
            except OSError as error:
                self.problems.append(f"{name}_FILE: {path} cannot be read ({error.strerror}).")
        return self.env.get(name, "").strip() or default

    def number(self, name: str, default: float, low: float, high: float = 1e9) -> float:
        """A number between low and high, fractions allowed."""
        raw = self.text(name)
        if not raw:
            return default
        try:
            value = float(raw)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            most = f" and at most {high:g}" if high < 1e9 else ""
            self.problems.append(f"{name}={raw}: must be a number of at least {low:g}{most}.")
            return default
        return value

    def whole(self, name: str, default: int, low: int, high: int = 10**9) -> int:
        """A whole number between low and high."""
        value = self.number(name, default, low, high)
        if value != int(value):
            self.problems.append(f"{name}={self.text(name)}: must be a whole number.")
            return default
        return int(value)

    def choice(self, name: str, enum: type[_Choice], default: _Choice) -> _Choice:
        """One of an enum's values."""
        raw = self.text(name).lower()
        if not raw:
            return default
        try:
            return enum(raw)
        except ValueError:
            known = ", ".join(member.value for member in enum)
            self.problems.append(f"{name}={raw}: must be one of {known}.")
            return default

    def address(self, name: str) -> str:
        """An address with one @ and no space, or nothing."""
        raw = self.text(name)
        if raw and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+", raw):
            self.problems.append(f"{name}={raw}: is no e-mail address.")
        return raw

    def url(self, name: str) -> str:
        """An http or https address without a slash at the end, or nothing."""
        raw = self.text(name).rstrip("/")
        if raw and (urlsplit(raw).scheme not in ("http", "https") or not urlsplit(raw).hostname):
            self.problems.append(f"{name}={raw}: must be an address with http:// or https://.")
        return raw

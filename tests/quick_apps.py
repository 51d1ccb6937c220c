"""Makes many applications in one process quick: what is compiled for one is kept for the next.

An application compiles the addresses of its routes and every template that it shows: more work
than most tests do with it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

_builders: dict[Any, Callable[..., tuple[str, str]]] = {}
_templates: dict[tuple[str, str], CodeType] = {}


class _Rule(Rule):
    """Writes addresses with the function that was made for the same route before."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        if self.defaults or self.host or self.subdomain:
            return super()._compile_builder(append_unknown)
        key = self.rule, append_unknown
        if key not in _builders:
            _builders[key] = super()._compile_builder(append_unknown)
        return _builders[key]


class _Templates(BytecodeCache):
    """Code of templates, by name and content."""

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = _templates.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            _templates[bucket.key, bucket.checksum] = bucket.code


def keep_what_is_compiled() -> None:
    """From now on, for every application made in this process."""
    Flask.url_rule_class = _Rule
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Templates()}

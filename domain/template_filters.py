"""What a template may do to a value: filters and tests, none of which can grow without bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from urllib.parse import quote

from jinja2 import filters as jinja_filters
from jinja2 import pass_context
from jinja2 import tests as jinja_tests
from jinja2.runtime import Context

#: Characters of a text that a template builds itself.
MAX_TEXT = 20_000
MAX_RANGE = 1_000
MAX_NUMBER = 10**15
#: The key of the step budget in the variables; no template can spell it.
BUDGET = " steps left"
#: Filters that no template can name: what calls, `~` and loops are turned into.
RANGE, CONCAT, LOOP = " range", " concat", " loop"


class TemplateFault(Exception):
    """Something in a template that cannot be: a line (1 = first, None = unknown), a sentence."""

    def __init__(self, sentence: str, line: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line


def _has_value(value: Any) -> bool:
    """An empty or blank text counts as missing, as an empty cell of a list does."""
    return bool(value.strip()) if isinstance(value, str) else value is not None


def _default(value: Any, otherwise: Any = "", boolean: bool = False) -> Any:
    return value if _has_value(value) else otherwise


def concat(values: Sequence[Any]) -> str:
    texts = [str(value) for value in values]
    if sum(map(len, texts)) > MAX_TEXT:
        raise TemplateFault(f"A text grows beyond {MAX_TEXT:,} characters.")
    return "".join(texts)


def _replace(value: Any, old: str, new: str, count: int = -1) -> str:
    text, old, new = str(value), str(old), str(new)
    found = text.count(old) if count < 0 else min(count, text.count(old))
    if len(text) + found * len(new) > MAX_TEXT + len(text):
        raise TemplateFault(f"A text grows beyond {MAX_TEXT:,} characters.")
    return text.replace(old, new, count)


def _split(value: Any, separator: str | None = None) -> list[str]:
    return str(value).split(separator or None)


def _round(value: Any, digits: int = 0) -> Any:
    rounded = round(float(value or 0), max(0, min(int(digits), 10)))
    return int(rounded) if digits == 0 else rounded


def _range(arguments: list[Any]) -> range:
    made = range(*(int(argument) for argument in arguments))
    if not -MAX_NUMBER < made.start < MAX_NUMBER or len(made[: MAX_RANGE + 1]) > MAX_RANGE:
        raise TemplateFault(f"range() gives at most {MAX_RANGE:,} numbers.")
    return made


@pass_context
def _charged(context: Context, values: Any, weight: int) -> Any:
    if not isinstance(values, str | list | tuple | range):
        raise TemplateFault('{% for %} needs a list, for example names.split(",").')
    budget = context.parent[BUDGET]
    budget[0] -= len(values) * weight
    if budget[0] < 0:
        raise TemplateFault("The loops of this template take too many steps.")
    return values


FILTERS: dict[str, Callable[..., Any]] = {
    **{
        name: cast(Callable[..., Any], jinja_filters.FILTERS[name])
        for name in (
            "abs", "capitalize", "count", "first", "float", "int", "last", "length", "lower",
            "striptags", "title", "trim", "truncate", "upper", "wordcount",
        )
    },
    "default": _default,
    "d": _default,
    # Escaping is automatic in HTML and wrong elsewhere: the filter people write changes nothing.
    "e": lambda value: value,
    "escape": lambda value: value,
    "replace": _replace,
    "round": _round,
    "split": _split,
    "string": str,
    "urlencode": lambda value: quote(str(value), safe=""),
    CONCAT: concat,
    LOOP: _charged,
    RANGE: _range,
}  # fmt: skip
TESTS: dict[str, Callable[..., Any]] = {
    **{
        name: cast(Callable[..., Any], jinja_tests.TESTS[name])
        for name in (
            "!=", "<", "<=", "==", ">", ">=", "divisibleby", "eq", "equalto", "even", "ge",
            "greaterthan", "gt", "in", "le", "lessthan", "lower", "lt", "ne", "number", "odd",
            "string", "upper",
        )
    },
    "defined": _has_value,
    "undefined": lambda value: not _has_value(value),
    "none": lambda value: not _has_value(value),
}  # fmt: skip

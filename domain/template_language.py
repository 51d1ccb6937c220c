"""The template language: Jinja cut down to what a mail needs, with limits on time and size.

Only listed statements, filters and tests exist; a template has no calls, no attributes and no
imports left when it runs, every loop and every growing text is charged against a budget, and a
missing variable is an empty text. The sandbox of Jinja is the second wall behind that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import TemplateSyntaxError, Undefined, nodes
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from domain.template_filters import (
    CONCAT,
    FILTERS,
    LOOP,
    MAX_NUMBER,
    RANGE,
    TESTS,
    TemplateFault,
    concat,
)

#: Characters of a rendered part; most mailbox providers cut a mail off at a tenth of that.
MAX_OUTPUT = 2_000_000
#: Steps of all loops of one rendering, weighted by the size of their bodies.
MAX_STEPS = 100_000
#: Characters inside tags of one template: what parsing takes time for.
MAX_LOGIC = 20_000

_LOOP_PARTS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
#: Text methods people know from Python, done by the filter of the same meaning.
_METHODS = {
    "upper": "upper",
    "lower": "lower",
    "title": "title",
    "capitalize": "capitalize",
    "strip": "trim",
    "split": "split",
    "replace": "replace",
}
_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign,
    nodes.Name, nodes.Const, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Compare,
    nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos, nodes.Concat, nodes.Getattr,
    nodes.Getitem, nodes.Slice, nodes.Call, nodes.List, nodes.Tuple, nodes.Keyword,
)  # fmt: skip
_RESERVED = {"self", "super", "caller"}
#: Variables that every mail has; a template may not give them another meaning.
ALWAYS_THERE = ("email", "unsubscribe_url", "campaign_name", "postal_address")


class _Missing(Undefined):
    """What a variable without a value is: an empty text, so that nothing can fail over it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> str:  # type: ignore[misc]
        return ""


class MailEnvironment(ImmutableSandboxedEnvironment):
    """Jinja with our filters, tests and limits; `autoescape` says whether the part is HTML."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape, undefined=_Missing, keep_trailing_newline=True, cache_size=0
        )
        self.globals.clear()
        self.filters = dict(FILTERS)
        self.tests = dict(TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Parts of `loop`, and nothing else of anything."""
        if isinstance(obj, LoopContext) and attribute in _LOOP_PARTS:
            return getattr(obj, attribute)
        return ""

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A place in a text or list; an empty text where there is none."""
        if isinstance(obj, str | list | tuple | range) and isinstance(argument, int):
            try:
                return obj[argument]
            except IndexError:
                return ""
        return ""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """No template calls anything; `parse_mail_template` has turned calls into filters."""
        raise TemplateFault("A template cannot call functions.")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers of moderate size, and `+` between texts."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            return concat([left, right])
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise TemplateFault(
                f"“{operator}” needs numbers on both sides. Columns are text: write for example "
                "{{ points | int + 1 }}, and join texts with ~."
            )
        if operator == "**":
            raise TemplateFault("Powers (**) are not available.")
        if abs(left) > MAX_NUMBER or abs(right) > MAX_NUMBER:
            raise TemplateFault("A number in this calculation is too large.")
        return self.binop_table[operator](left, right)


def parse_mail_template(environment: MailEnvironment, source: str) -> nodes.Template:
    """The checked syntax tree of a template, ready to compile; raises TemplateFault."""
    if sum(map(len, _LOGIC.findall(source))) > MAX_LOGIC:
        raise TemplateFault(f"The tags hold more than {MAX_LOGIC:,} characters in all.")
    try:
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        raise TemplateFault(_plain_words(error, source), error.lineno) from error
    except (RecursionError, MemoryError, ValueError, OverflowError) as error:
        raise TemplateFault("The template is nested too deeply or holds a huge number.") from error
    called = {id(node.node) for node in _walk(tree) if isinstance(node, nodes.Call)}
    for node in _walk(tree):
        if isinstance(node, nodes.Getattr) and id(node) not in called:
            _raise_if(_check_attribute(node), node)
        _check(environment, node)
    try:
        rewritten: nodes.Template = _Rewrite(environment).visit(tree)
    except RecursionError as error:
        raise TemplateFault("The template is nested too deeply.") from error
    return rewritten


def used_names(tree: nodes.Template) -> list[str]:
    """Names a template reads and does not set itself, in the order they appear."""
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"} | {"loop"}
    read = (node.name for node in _walk(tree) if isinstance(node, nodes.Name))
    return [name for name in dict.fromkeys(read) if name not in own]


def always_shows(tree: nodes.Template, name: str) -> bool:
    """Whether every rendering prints the variable: it stands outside of `if` and `for`."""
    return any(
        isinstance(part, nodes.Name) and part.name == name
        for output in tree.body
        if isinstance(output, nodes.Output)
        for part in output.nodes
    )


def _walk(node: nodes.Node) -> Iterator[nodes.Node]:
    """Every node below, without recursion: templates come from outside."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(current.iter_child_nodes())))


def _check(environment: MailEnvironment, node: nodes.Node) -> None:
    for kinds, check in _CHECKS:
        if isinstance(node, kinds):
            _raise_if(check(node), node)
    if not isinstance(node, _ALLOWED_NODES):
        raise TemplateFault(
            f"“{type(node).__name__.lower()}” is not part of the template language: there are "
            "{{ … }}, {% if %}, {% for %}, {% set %} and {% raw %}.",
            node.lineno,
        )
    if isinstance(node, nodes.Filter) and node.name not in environment.filters:
        known = ", ".join(sorted(name for name in environment.filters if name[0] != " "))
        raise TemplateFault(f"There is no filter “{node.name}”. There are: {known}.", node.lineno)
    if isinstance(node, nodes.Test) and node.name not in environment.tests:
        raise TemplateFault(f"There is no test “is {node.name}”.", node.lineno)


def _raise_if(sentence: str | None, node: nodes.Node) -> None:
    if sentence:
        raise TemplateFault(sentence, node.lineno)


def _check_name(node: Any) -> str | None:
    if node.name.startswith("_") or node.name in _RESERVED:
        return f"The name “{node.name}” is reserved."
    if node.ctx == "store" and node.name in ALWAYS_THERE:
        return f"“{node.name}” always has its own meaning and cannot be set."
    return None


def _check_attribute(node: Any) -> str | None:
    if node.attr.startswith("_"):
        return "Names that begin with an underscore are internal and not available."
    if isinstance(node.node, nodes.Name) and node.node.name == "loop":
        return None if node.attr in _LOOP_PARTS else f"“loop.{node.attr}” is not available."
    return (
        f"Columns have no parts, so “.{node.attr}” is always empty: write the name of a column "
        "alone, for example {{ first_name }}."
    )


def _check_item(node: Any) -> str | None:
    if isinstance(node.arg, nodes.Slice | nodes.Neg):
        return None
    if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, int):
        return None
    return "Square brackets take a whole number, for example {{ name.split()[0] }}."


def _check_call(node: Any) -> str | None:
    if node.dyn_args or node.dyn_kwargs or node.kwargs:
        return "Calls take plain values only."
    if isinstance(node.node, nodes.Name) and node.node.name == "range":
        return None
    if isinstance(node.node, nodes.Getattr) and node.node.attr in _METHODS:
        return None
    methods = ", ".join(f".{name}()" for name in _METHODS)
    return f"A template cannot call functions. There are filters, range(n) and {methods}."


def _check_arithmetic(node: Any) -> str | None:
    if isinstance(node, nodes.Pow):
        return "Powers (**) are not available."
    sides = (node.left, node.right)
    if all(isinstance(side, nodes.Const) for side in sides):
        return "This calculation has no variable in it: write its result."
    return None


def _check_loop(node: Any) -> str | None:
    return "Recursive loops are not available." if node.recursive else None


def _check_filter(node: Any) -> str | None:
    if node.node is None or node.dyn_args or node.dyn_kwargs:
        return 'Filters follow a value and take plain values: {{ name | default("friend") }}.'
    return None


_CHECKS: tuple[tuple[type[nodes.Node], Callable[[Any], str | None]], ...] = (
    (nodes.Name, _check_name),
    (nodes.Getitem, _check_item),
    (nodes.Call, _check_call),
    (nodes.BinExpr, _check_arithmetic),
    (nodes.For, _check_loop),
    (nodes.Filter, _check_filter),
)


class _Rewrite(NodeTransformer):
    """Turns calls and `~` into filters with limits, and charges every loop."""

    def __init__(self, environment: MailEnvironment) -> None:
        self._environment = environment

    def visit_Call(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.node, nodes.Getattr):
            return self._filter(node, node.node.node, _METHODS[node.node.attr], node.args)
        return self._filter(node, nodes.List(node.args), RANGE, [])

    def visit_Concat(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        return self._filter(node, nodes.List(node.nodes), CONCAT, [])

    def visit_Const(self, node: Any) -> Any:
        return nodes.Const("") if node.value is None else node

    def visit_For(self, node: Any) -> Any:
        weight = 1 + sum(_weight(part) for statement in node.body for part in _walk(statement))
        self.generic_visit(node)
        node.iter = self._filter(node, node.iter, LOOP, [nodes.Const(weight)])
        return node

    def _filter(
        self, place: nodes.Node, value: nodes.Expr, name: str, args: list[nodes.Expr]
    ) -> nodes.Filter:
        made = nodes.Filter(value, name, args, [], None, None)
        made.set_lineno(place.lineno)
        made.set_environment(self._environment)
        return made


def _weight(node: nodes.Node) -> int:
    return 1 + (len(node.data) // 200 if isinstance(node, nodes.TemplateData) else 0)


_LOGIC = re.compile(r"\{[{%].*?(?:[%}]\}|\Z)", re.S)
_SECTION = re.compile(r"\{\{\s*[#/^>!&]")
_UNCLOSED = re.compile(
    r"following tags: '(\w+)'|innermost block that needs to be closed is '(\w+)'"
)


def _plain_words(error: TemplateSyntaxError, source: str) -> str:
    """Jinja's message in the words of someone who writes mails."""
    lines = source.splitlines()
    line = lines[error.lineno - 1] if 0 < error.lineno <= len(lines) else ""
    message = error.message or ""
    if "{{{" in line:
        return "Triple braces are not part of the template language: write {{ name }}."
    if _SECTION.search(line):
        return (
            "Sections of Mustache or Handlebars like {{#each}} or {{/if}} are not part of the "
            "template language: write {% if name %} … {% endif %}."
        )
    if re.search(r"\{[{%][^}]*(&quot;|&#39;|&lt;|&gt;|&nbsp;|[“”‘’„])", line):
        return 'A tag holds typographic or HTML-coded quotes: write plain ones, "friend".'
    if "Missing end of comment" in message:
        return "“{#” begins a comment that never ends; in a style rule put a space between."
    if "unknown tag" in message:
        found = re.search(r"unknown tag '(\w+)'", message)
        name = found.group(1) if found else ""
        if name.startswith("end") or name in ("else", "elif"):
            return f"{{% {name} %}} stands where nothing was begun that it could close."
        return f"There is no tag {{% {name} %}}: there are if, for, set and raw."
    if "Unexpected end of template" in message:
        opened = re.findall(r"'(\w+)'", message)[-1:] or ["if"]
        return f"{{% {opened[0]} %}} is never closed: {{% end{opened[0]} %}} is missing."
    if "Expected an expression, got 'end of print statement'" in message:
        return "A tag is empty: {{ }}."
    if "expected token 'end of print statement'" in message:
        return (
            "A tag holds more than one word: names have no spaces, write {{ first_name }} for a "
            "column “First Name”."
        )
    return f"This tag cannot be read: {message.rstrip('.')}."

"""The layout's promises, read from the source: who imports whom, who commits, how long things get.

The rungs are those of docs/architecture.md. A failure names the file and the line to look at.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Top-level module or package -> rung. A module imports from lower rungs and its own package.
RUNGS = {
    "config": 0, "domain": 0,
    "aws": 1,
    "model_base": 2, "audience_models": 2, "models": 2, "database": 2, "email_service": 2,
    "rate_limiter": 3, "services": 3,
    "web": 4, "commands": 4, "doors": 4, "sender": 4, "sns_handler": 4, "scheduler": 4,
    "app": 5, "run": 5, "update_db_schema": 5, "debug_email_flow": 5, "gunicorn.conf": 5,
    "supervisor": 5, "launcher": 5,
}  # fmt: skip
#: Neighbours on one rung that may be used, one way only.
NEIGHBOURS = {
    ("config", "domain"): True,
    ("models", "model_base"): True,
    ("models", "audience_models"): True,
    ("audience_models", "model_base"): True,
    ("scheduler", "sender"): True,
    ("scheduler", "doors"): True,
    ("scheduler", "sns_handler"): True,
    ("sns_handler", "doors"): True,
    ("services", "rate_limiter"): True,
    ("app", "supervisor"): True,
    ("run", "supervisor"): True,
    ("run", "launcher"): True,
    ("run", "update_db_schema"): True,
    ("gunicorn.conf", "supervisor"): True,
    ("gunicorn.conf", "launcher"): True,
    ("supervisor", "launcher"): True,
}
ISLAND = "ses_simulator"
LONGEST_FUNCTION = 50
LONGEST_FILE = 400
LONGEST_TEST_FILE = 600
#: What would make a decision depend on more than its arguments.
IMPURE = {
    "boto3", "botocore", "flask", "os", "psycopg", "random", "requests", "socket", "sqlalchemy",
    "sqlite3", "subprocess", "threading", "time", "urllib3",
}  # fmt: skip
#: The program of a child process; it is started by services.spreadsheets and by nobody imported.
CHILD_PROGRAM = "domain/spreadsheet_child.py"


@dataclass(frozen=True)
class Import:
    """One import statement: the file it is in, its line, and the module it names."""

    path: Path
    line: int
    module: str

    @property
    def top(self) -> str:
        """The first name of the module's dotted path."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


def _sources() -> list[Path]:
    """Every Python file of the product and its tests, relative to the root."""
    folders = [*RUNGS, ISLAND, "benchmarks", "migrations", "tests"]
    found = list(ROOT.glob("*.py"))
    for folder in folders:
        found += (ROOT / folder).rglob("*.py")
    return sorted(path.relative_to(ROOT) for path in found)


def _product() -> list[Path]:
    return [path for path in _sources() if _top(path) in RUNGS]


def _top(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else path.stem


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def _imports(path: Path) -> Iterator[Import]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield Import(path, node.lineno, node.module)
            for alias in node.names:
                yield Import(path, node.lineno, f"{node.module}.{alias.name}")


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _report(problems: list[str]) -> str:
    return "\n".join(["", *problems])


def test_modules_import_only_from_lower_rungs() -> None:
    problems = []
    for path in _product():
        mine = _top(path)
        for found in _imports(path):
            if found.top not in RUNGS or found.top == mine:
                continue
            if RUNGS[found.top] > RUNGS[mine]:
                problems.append(str(found))
            elif RUNGS[found.top] == RUNGS[mine] and not NEIGHBOURS.get((mine, found.top)):
                problems.append(f"{found}: a neighbour on its own rung")
    assert not problems, _report(problems)


def test_simulator_is_an_island() -> None:
    problems = [
        str(found)
        for path in _sources()
        for found in _imports(path)
        if (_top(path) == ISLAND and found.top in RUNGS)
        or (_top(path) in RUNGS and found.top == ISLAND)
    ]
    assert not problems, _report(problems)


def test_modules_do_not_import_each_other_in_circles() -> None:
    names = {".".join(path.with_suffix("").parts): path for path in _product()}
    graph = {
        name: {found.module for found in _imports(path) if found.module in names} - {name}
        for name, path in names.items()
    }
    done: set[str] = set()
    circles: list[str] = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circles.append(" -> ".join([*way[way.index(name) :], name]))
        elif name not in done:
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    assert circles == []


def test_clients_of_aws_are_made_in_one_place() -> None:
    problems = [
        str(found)
        for path in _product()
        for found in _imports(path)
        if found.top == "boto3" and _top(path) != "aws"
    ]
    assert not problems, _report(problems)


def test_decisions_are_pure() -> None:
    problems = [
        str(found)
        for path in _product()
        if _top(path) == "domain" and str(path) != CHILD_PROGRAM
        for found in _imports(path)
        if found.top in IMPURE
    ]
    problems += [
        f"{path}:{node.lineno} reads the clock"
        for path in _product()
        if _top(path) == "domain"
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr in ("now", "utcnow", "today")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("datetime", "date")
    ]
    assert not problems, _report(problems)


def test_only_entry_points_commit() -> None:
    """Below them nothing commits, except work in many steps that was handed the factory."""
    problems = []
    for path in _product():
        if RUNGS[_top(path)] >= 4 or str(path) == "database.py":
            continue
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Attribute) and node.attr == "commit":
                problems.append(f"{path}:{node.lineno} commits")
        if not _has_factory(path):
            problems += [
                f"{path}:{node.lineno} opens a writing step without having got `sessions`"
                for node in ast.walk(_tree(path))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "writing"
            ]
    assert not problems, _report(problems)


def _has_factory(path: Path) -> bool:
    """Whether some function or class of the module is given the factory of sessions."""
    arguments = (node for node in ast.walk(_tree(path)) if isinstance(node, ast.arg))
    attributes = (node for node in ast.walk(_tree(path)) if isinstance(node, ast.AnnAssign))
    return any(argument.arg == "sessions" for argument in arguments) or any(
        isinstance(node.target, ast.Name) and node.target.id == "sessions" for node in attributes
    )


def test_every_module_says_what_belongs_in_it() -> None:
    problems = [
        f"{path} has no docstring"
        for path in _sources()
        if (ROOT / path).read_text(encoding="utf-8").strip() and not ast.get_docstring(_tree(path))
    ]
    assert not problems, _report(problems)


def test_functions_are_short() -> None:
    problems = [
        f"{path}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in [*_product(), *(p for p in _sources() if _top(p) == ISLAND)]
        for node in _functions(path)
        if node.end_lineno and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert not problems, _report(problems)


def test_files_are_short() -> None:
    problems = []
    for path in _sources():
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        is_long_kind = _top(path) == "tests" or path.name == "models.py"
        is_generated = path.parts[:2] == ("migrations", "versions")
        if lines > (LONGEST_TEST_FILE if is_long_kind else LONGEST_FILE) and not is_generated:
            problems.append(f"{path} has {lines} lines")
    assert not problems, _report(problems)


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [path for path in _sources() if path.stem in drawers]

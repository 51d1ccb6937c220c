"""What must not get into the repository: machines, registries, secrets, debts, copies of others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import skip_missing

ROOT = Path(__file__).resolve().parents[1]
BINARY = {".png", ".ico", ".woff2", ".jpg", ".gif", ".xlsx", ".xls", ".ods", ".db", ".gz"}
#: A pattern that finds itself in this file would be a false alarm, hence the classes of one letter.
FORBIDDEN = {
    "a folder of somebody's machine": r"(?<![\w.])/(?:r[o]ot|h[o]me/\w+|w[o]rk|U[s]ers/\w+)/",
    "the address of a package registry": r"(?:p[y]pi|p[y]thonhosted|n[p]mjs)\.(?:org|com)",
    "a private key": r"-----BEGIN [A-Z ]*P[R]IVATE KEY-----",
    "an access key of AWS": r"\bA[K]IA(?!IOSFODNN7EXAMPLE)[A-Z0-9]{16}\b",
    "unfinished work": r"\b(?:T[O]DO|F[I]XME|X[X]X)\b",
    "a merge conflict": r"^(?:<{7}|>{7}) ",
}


@pytest.fixture(scope="module")
def texts() -> dict[Path, str]:
    """The text files that belong to the repository, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        skip_missing("the git history (this is an export, not a clone)")
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    return {
        path: (ROOT / path).read_text(encoding="utf-8", errors="replace")
        for path in paths
        if path.suffix not in BINARY and (ROOT / path).is_file()
    }


@pytest.mark.parametrize("what", FORBIDDEN)
def test_repository_holds_no(what: str, texts: dict[Path, str]) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)}"
        for path, text in texts.items()
        for match in pattern.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_nothing_of_others_is_copied_in(texts: dict[Path, str]) -> None:
    names = re.compile(r"\.min\.(?:js|css)$|(?:^|/)(?:vendor|third_party|node_modules)/")
    assert not [path for path in texts if names.search(str(path))]


def test_settings_with_secrets_are_not_tracked(texts: dict[Path, str]) -> None:
    assert not [
        path for path in texts if path.name.startswith(".env") and path.suffix != ".example"
    ]


def test_locks_pin_every_package_by_hash(texts: dict[Path, str]) -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = texts[Path(name)].splitlines()
        packages = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
        assert packages
        assert all("==" in line for line in packages)
        assert texts[Path(name)].count("--hash=sha256:") >= len(packages)


def test_locks_hold_every_named_package(texts: dict[Path, str]) -> None:
    for name in ("requirements", "requirements-dev"):
        wanted = {
            re.split(r"[\[<>=~ ]", line)[0].lower().replace("_", "-")
            for line in texts[Path(f"{name}.in")].splitlines()
            if re.match(r"[A-Za-z]", line)
        }
        locked = {
            line.split("==")[0].split("[")[0].lower().replace("_", "-")
            for line in texts[Path(f"{name}.txt")].splitlines()
            if "==" in line
        }
        assert wanted
        assert wanted <= locked

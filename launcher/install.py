"""Makes `.venv` and installs the locked requirements; runs on a bare Python, before all else.

Only the standard library is imported here. What is installed already is remembered by the
hash of its lock file, so that a later start costs nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(locks: list[str]) -> int:
    """Install the named lock files into `.venv` unless they are installed; 0 when all is well."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        print(
            "Python's venv module is missing.\n"
            f"  Debian, Ubuntu: sudo apt install python{version}-venv\n"
            f"  Fedora:         sudo dnf install python3-pip",
            file=sys.stderr,
        )
        return 1
    if not _venv_works():
        print("Making .venv ...", flush=True)
        command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        if subprocess.run(command).returncode != 0:
            print(
                "Python could not make .venv (see above).\n"
                "  Debian, Ubuntu: sudo apt install python3-venv",
                file=sys.stderr,
            )
            return 1
    missing = [lock for lock in locks if not _is_installed(lock)]
    return _install(missing) if missing else 0


def _venv_works() -> bool:
    """Whether `.venv` is there, was made at this place, and its Python still runs."""
    try:
        found = subprocess.run(
            [PYTHON, "-c", "import sys, pip; print(sys.prefix)"], capture_output=True, text=True
        )
    except OSError:
        return False
    return found.returncode == 0 and Path(found.stdout.strip()).resolve() == VENV.resolve()


def _install(locks: list[str]) -> int:
    print(f"Installing {' and '.join(locks)} (a minute or two) ...", flush=True)
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
               "--no-input", "--require-hashes"]  # fmt: skip
    for lock in locks:
        command += ["-r", str(ROOT / lock)]
    if subprocess.run(command).returncode != 0:
        print("The installation failed (see above); run the same again later.", file=sys.stderr)
        return 1
    for lock in locks:
        _stamp(lock).write_text(_hash(lock))
    return 0


def _stamp(lock: str) -> Path:
    return VENV / f"installed-{lock}"


def _hash(lock: str) -> str:
    return hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()


def _is_installed(lock: str) -> bool:
    stamp = _stamp(lock)
    return stamp.is_file() and stamp.read_text() == _hash(lock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Writes requirements.txt and requirements-dev.txt anew: exact versions with their hashes.

uv compiles them, installed into a temporary venv for this purpose. One file serves every
Python from 3.11 on, and no address of a package index gets into it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Production first: the development tools take its versions as given.
LOCKS = ("requirements", "requirements-dev")


def main() -> int:
    """Compile both files; 0 when all is well."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        binaries = Path(folder) / "bin"
        subprocess.run(
            [binaries / "pip", "install", "--quiet", "--disable-pip-version-check", "uv"],
            check=True,
        )
        for lock in LOCKS:
            command: list[str | Path] = [
                binaries / "uv", "pip", "compile", "--universal", "--python-version", "3.11",
                "--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet", "--upgrade",
                f"{lock}.in", "--output-file", f"{lock}.txt",
            ]  # fmt: skip
            code = subprocess.run(command, cwd=ROOT).returncode
            if code != 0:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())

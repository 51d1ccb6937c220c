"""The error that a file cannot be read, in a sentence that says what to do."""

from __future__ import annotations


class FileProblem(Exception):
    """A file that cannot be used as it is; the text is for the person who uploaded it."""

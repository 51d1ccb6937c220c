"""Decisions without I/O: pure functions and frozen dataclasses; time and chance are arguments."""

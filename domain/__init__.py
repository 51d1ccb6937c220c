"""Decisions without I/O: pure functions and frozen dataclasses; time and randomness are arguments."""

"""The parts of a sender process; scheduler.py, the tests, and for signals supervisor.py import them."""

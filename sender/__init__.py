"""The parts of a sender process; only scheduler.py and the tests import them."""

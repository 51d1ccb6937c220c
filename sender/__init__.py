"""The parts of a sender process, for scheduler.py and the tests; supervisor.py takes signals."""

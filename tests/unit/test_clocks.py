"""The database's clock as a sender sees it through answers that take their time."""

from __future__ import annotations

import pytest

from sender.clocks import DatabaseClock

#: Between the clocks of the test's database and of its sender (seconds).
APART = 1_000.0


class Answers:
    """A database whose answers take as long as one says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.apart = APART
        self.clock = DatabaseClock(lambda: self.now)

    def ask(self, there: float = 0.0, back: float = 0.0) -> None:
        asked_at = self.now
        self.now += there
        said = self.now + self.apart
        self.now += back
        self.clock.observe(said, asked_at)

    def error(self) -> float:
        """How late a moment of the database's clock is taken to be (seconds)."""
        return self.clock.local(self.now + self.apart) - self.now


@pytest.fixture
def answers() -> Answers:
    return Answers()


def test_the_quickest_answer_counts(answers: Answers) -> None:
    for back in (0.3, 0.001, 0.2):
        answers.ask(back=back)
    assert answers.error() == pytest.approx(0.001)


@pytest.mark.parametrize("back", [0.4, 0.6, 5.0])
def test_one_answer_that_comes_late_moves_nothing(answers: Answers, back: float) -> None:
    answers.ask(back=0.001)
    answers.ask(back=back)
    assert answers.error() == pytest.approx(0.001), "its mails would leave with those after them"
    answers.ask(there=back, back=0.002)
    assert answers.error() == pytest.approx(0.001)


@pytest.mark.parametrize("by", [3600.0, 0.3, -0.3, -3600.0])
def test_a_clock_that_is_moved_is_followed_at_once(answers: Answers, by: float) -> None:
    answers.ask(back=0.001)
    answers.apart += by
    answers.ask(there=0.001, back=0.002)
    assert answers.error() == pytest.approx(0.002)


def test_what_was_quick_long_ago_is_forgotten_as_clocks_drift(answers: Answers) -> None:
    for _ in range(200):
        answers.apart -= 0.0001
        answers.ask(back=0.001)
    assert answers.error() == pytest.approx(0.001, abs=0.006)

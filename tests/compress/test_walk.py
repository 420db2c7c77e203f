"""What is trained: who could become the chosen point, most promising first."""

import pytest
from made_up_points import point

from distilrec.compress.budget import Budget
from distilrec.compress.frontier import choose
from distilrec.compress.walk import hopeless, order, why_not_train, won_back

FIRST = point("first", 1000, p=0.0)


def why(untrained, budget, wanted="size"):
    return why_not_train(untrained, budget, choose([FIRST, untrained], budget, wanted), wanted)


def test_who_loses_least_is_trained_first():
    lost = [point("a", 100, loss=0.3), point("b", 200, loss=0.02), point("c", 150, loss=0.02)]
    assert [one.name for one in order(lost)] == ["c", "b", "a"]


def test_what_is_smaller_and_loses_too_much_is_worth_training():
    assert why(point(size=100, loss=0.3), Budget(loss=0.01)) is None


@pytest.mark.parametrize(
    ("untrained", "budget", "wanted", "told"),
    [
        (point(size=600, loss=0.3), Budget(size_bytes=500), "quality", "breaks the budget whatever its quality"),
        (point(size=100, ms=3.0, loss=0.3), Budget(latency_ms=2.0), "quality", "breaks the budget whatever"),
        (point(size=100, loss=0.001), Budget(loss=0.01), "size", "has nothing to win back"),
        (point(size=100, loss=-0.01), Budget(size_bytes=500), "quality", "has nothing to win back"),
        (point(size=1000, loss=0.3), Budget(loss=0.01), "size", "is hardly smaller than first, which keeps"),
        (point(size=960, loss=0.3), Budget(loss=0.01), "size", "is hardly smaller than first, which keeps"),
        (point(ms=0.96, loss=0.3), Budget(loss=0.01), "latency", "is not faster than first"),
    ],
)
def test_what_training_cannot_make_the_chosen_point_is_left_out(untrained, budget, wanted, told):
    assert told in why(untrained, budget, wanted)


def test_what_takes_as_much_energy_is_left_out():
    first, other = point("first", joules=1.0, p=0.0), point("other", 100, loss=0.3, joules=0.99)
    choice = choose([first], Budget(loss=0.01), "energy")
    assert "takes no less energy than first" in why_not_train(other, Budget(loss=0.01), choice, "energy")
    frugal = point("frugal", 100, loss=0.3, joules=0.5)
    assert why_not_train(frugal, Budget(loss=0.01), choice, "energy") is None


def test_for_quality_whatever_loses_something_may_be_trained():
    assert why(point(size=100, loss=0.001), Budget(size_bytes=500), "quality") is None


def test_what_training_won_back_is_a_share_of_what_was_lost():
    assert won_back(point(loss=0.04), point(loss=0.01)) == pytest.approx(0.75)
    assert won_back(point(loss=-0.01), point(loss=-0.02)) == 0


def test_a_point_that_needs_far_more_than_any_training_won_back_is_hopeless():
    lost_ten = point(loss=0.1)
    assert hopeless(lost_ten, Budget(loss=0.01), [0.3, 0.5]) == (
        "would have to win back 90 % of its loss of 10.0 %; trainings so far won back 50 % at most"
    )
    assert hopeless(lost_ten, Budget(loss=0.01), [0.7, 0.1]) is None
    assert hopeless(lost_ten, Budget(loss=0.04), [0.5, 0.1]) is None


def test_without_two_trainings_or_a_limit_nothing_is_hopeless():
    assert hopeless(point(loss=0.5), Budget(loss=0.01), [0.1]) is None
    assert hopeless(point(loss=0.5), Budget(size_bytes=5), [0.1, 0.1]) is None
    assert hopeless(point(loss=-0.01), Budget(loss=0.01), [0.1, 0.1]) is None

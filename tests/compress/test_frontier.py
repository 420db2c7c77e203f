"""Which points are worth having, which one is chosen, and what is said where none keeps the budget."""

import pytest
from made_up_points import point

from distilrec.compress.budget import Budget
from distilrec.compress.frontier import choose, dominates, excesses, frontier, standing
from distilrec.compress.told import cells, markdown, note

FIRST = point("first", 1000, loss=0.0, p=0.0)
HALF = point("half", 500, loss=0.001)
SMALL = point("small", 100, loss=0.03)
WORSE = point("worse", 500, loss=0.02)


def test_a_point_is_beaten_by_one_that_is_no_worse_in_anything_and_better_in_something():
    assert dominates(HALF, WORSE)
    assert not dominates(WORSE, HALF)
    assert not dominates(HALF, HALF)
    assert not dominates(FIRST, HALF)


def test_times_and_energies_that_differ_by_a_twentieth_are_equal():
    assert dominates(point(size=900, ms=1.04), point(size=1000, ms=1.0))
    assert not dominates(point(size=900, ms=1.06), point(size=1000, ms=1.0))
    assert dominates(point(ms=0.9), point(ms=1.0))
    assert dominates(point(size=900, joules=1.04), point(size=1000, joules=1.0))
    assert not dominates(point(size=900, joules=1.06), point(size=1000, joules=1.0))


def test_the_frontier_is_what_nothing_beats_the_largest_first():
    assert frontier([SMALL, WORSE, HALF, FIRST]) == [FIRST, HALF, SMALL]


def test_excesses_are_shares_of_a_limit_and_for_a_loss_what_is_lost_beyond_it():
    over = excesses(point(size=1500, ms=1.0, loss=0.03), Budget(size_bytes=1000, latency_ms=2.0, loss=0.01, by="mean"))
    assert over == pytest.approx({"size_bytes": 0.5, "loss": 0.02})


def test_a_loss_that_has_to_be_shown_counts_by_what_it_may_be():
    budget = Budget(loss=0.01)
    assert excesses(point(loss=0.005, p=0.04), budget) == {}
    assert excesses(point(loss=0.005, p=0.06), budget) == pytest.approx({"loss": 0.005})
    assert excesses(point(loss=-0.005, p=0.06), budget) == {"loss": 0.0}  # hardly, and still not shown


def test_a_point_stands_where_its_test_and_then_its_mean_put_it():
    budget = Budget(loss=0.01)
    told = [standing(point(loss=loss, p=p), budget) for loss, p in ((0.005, 0.04), (0.005, 0.06), (0.02, 0.9))]
    assert told == ["shown", "mean only", "no"]
    assert standing(FIRST, Budget(size_bytes=5)) is None


def test_of_many_the_one_that_is_only_lucky_is_passed_over_and_named():
    sure, lucky = point("sure", 500, loss=0.001, p=0.006), point("lucky", 400, loss=0.005, p=0.2)
    choice = choose([FIRST, sure, lucky], Budget(loss=0.01))
    assert choice.point is sure
    assert choice.why[2:] == (
        "That it loses no more than 1 % is shown (p = 0.0060, corrected for 2 points).",
        "By its mean alone lucky would do, 400 B, 1 ms, a loss of 0.50 %: --by mean takes it.",
    )
    by_mean = choose([FIRST, sure, lucky], Budget(loss=0.01, by="mean"))
    assert by_mean.point is lucky
    assert by_mean.why[2] == (
        "Its mean loss is within 1 %, but more is not ruled out (p = 0.20, corrected for 2 points): it may lose more "
        "on other users."
    )


def test_where_nothing_is_shown_the_nearest_is_told_with_what_it_may_lose():
    lucky = point("lucky", 400, loss=0.005, p=0.2)
    choice = choose([FIRST, lucky], Budget(size_bytes=500, loss=0.01))
    assert (choice.point, choice.nearest) == (None, lucky)
    assert choice.why[1] == (
        "Nearest: lucky with a loss of 0.50 % that may be 1.50 %, where a loss of 1 % is allowed. Allow that, take the "
        "mean's word for it (--by mean), or add candidates (--try)."
    )


def test_where_a_loss_is_allowed_the_smallest_is_chosen():
    choice = choose([FIRST, HALF, WORSE, SMALL], Budget(loss=0.01, by="mean"))
    assert choice.point is HALF
    assert "2 of 4 points keep the budget; of these it is the smallest, 500 B, 1 ms, a loss of 0.10 %" in choice.why[0]
    assert "Next: first, 1 kB" in choice.why[0]
    assert "0.500 of all bytes (0.500 of the weights'), 1.00 of the time" in choice.why[1]
    assert "-0.10 % (95 % interval -1.10 to +0.90 %)" in choice.why[1]


def test_where_none_is_told_the_best_is_chosen_and_of_equals_the_smaller():
    assert choose([FIRST, HALF, SMALL], Budget(size_bytes=600)).point is HALF
    assert choose([FIRST, point("as good", 500, loss=0.0)], Budget(size_bytes=1000)).point.name == "as good"


@pytest.mark.parametrize(
    ("prefer", "name"), [("quality", "first"), ("size", "small"), ("latency", "fast"), ("energy", "frugal")]
)
def test_what_is_preferred_is_made_best(prefer, name):
    fast, frugal = point("fast", 800, ms=0.5, loss=0.01, joules=2.0), point("frugal", 700, loss=0.01, joules=1.0)
    assert choose([FIRST, fast, frugal, SMALL], Budget(loss=0.05, by="mean"), prefer).point.name == name


def test_one_that_alone_keeps_the_budget_is_told_so():
    choice = choose([FIRST, SMALL], Budget(size_bytes=100))
    assert choice.why[0] == "Chosen: small, the only one of 2 points that keeps the budget."


def test_nothing_need_be_done_for_a_budget_that_the_student_keeps_best():
    choice = choose([FIRST, HALF], Budget(size_bytes=2000))
    assert (choice.point, choice.why[1]) == (FIRST, "Nothing has to be compressed for this budget.")


def test_where_no_point_keeps_the_budget_the_limit_and_the_nearest_are_told():
    choice = choose([FIRST, HALF, SMALL], Budget(size_bytes=50))
    assert choice.point is None
    assert choice.nearest is SMALL
    assert choice.why[0] == "None of 3 points keeps the budget: no point keeps 50 B."
    assert choice.why[1].startswith("Nearest: small with 100 B, where 50 B is allowed.")


def test_limits_that_only_together_break_are_told_too():
    choice = choose([HALF, SMALL], Budget(size_bytes=400, loss=0.01, by="mean"))
    assert choice.why[0] == "None of 2 points keeps the budget; each breaks at least one of 2 limits."
    assert choice.nearest is SMALL  # 2 % too much is lost, where half has 25 % too many bytes
    assert "a loss of 3.00 %, where a loss of 1 % is allowed" in choice.why[1]


def test_the_table_says_of_each_point_what_it_costs_and_whether_it_keeps_the_budget():
    half, unsure = point("half", 500, loss=0.001, p=0.012), point("unsure", 400, loss=0.001, p=0.06)
    points = [FIRST, WORSE, half, unsure, SMALL]
    budget = Budget(size_bytes=600, loss=0.01)
    head, body = cells(points, budget, choose(points, budget))
    rows = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    assert [row[0] for row in body] == ["first", "worse", "half", "unsure", "small"]
    budgets = ["over in size", "over in loss", "chosen", "loss not shown", "over in loss"]
    assert [row["budget"] for row in rows.values()] == budgets
    shown = ["", "no", "shown (p = 0.01)", "by the mean, not shown (p = 0.06)", "no"]
    assert [row["loses at most 1 %"] for row in rows.values()] == shown
    assert [row["frontier"] for row in rows.values()] == ["yes", "", "", "yes", "yes"]
    assert rows["half"]["change [95 %]"] == "-0.10 % [-1.10, +0.90]"
    assert rows["half"]["to float32"] == "0.500"
    assert markdown(head, body).splitlines()[1] == "| --- |" + " ---: |" * 9
    assert note(points, budget, "a machine", ["made up"]).endswith(
        "for 4 points, so that the luckiest of many does not pass by luck."
    )


def test_energy_has_a_column_where_it_was_measured_and_the_nearest_is_marked():
    points = [point("first", joules=2.0), point("small", 100, joules=1.0)]
    head, body = cells(points, Budget(size_bytes=50), choose(points, Budget(size_bytes=50)))
    assert body[1][head.index("J per 1,000")] == "1.000"
    assert [row[-1] for row in body] == ["over in size", "nearest, over in size"]
    assert "Shown: " not in note(points, Budget(size_bytes=50), "a machine", ["made up"])


def test_a_nearest_point_whose_loss_is_not_shown_and_that_is_too_large_is_told_both():
    unsure, budget = point("unsure", 100, loss=0.001, p=0.06), Budget(size_bytes=50, loss=0.01)
    _, body = cells([FIRST, unsure], budget, choose([FIRST, unsure], budget))
    assert body[1][-1] == "nearest, over in size, loss not shown"

"""Axes: where values lie, and which of them are named."""

import pytest

from distilrec.report.scale import Scale, frontier, linear, logarithmic, tick_text


def test_a_linear_axis():
    x = Scale(0, 10, 100, 200)
    assert (x(0), x(5), x(10)) == (100, 150, 200)
    assert (x(-1), x(11)) == (100, 200)
    assert x.ticks() == [0, 2.5, 5, 7.5, 10]


def test_a_logarithmic_axis_gives_each_tenfold_the_same_room():
    x = Scale(1, 100, 0, 10, log=True)
    assert x(10) == pytest.approx(5)
    assert x.ticks() == [1, 3, 10, 30, 100]


@pytest.mark.parametrize("ends", [(2, 7), (1e3, 1e8), (0.02, 0.9), (63_000, 95_000_000), (4, 4.5)])
def test_a_logarithmic_axis_names_few_values(ends):
    ticks = Scale(*ends, 0, 1, log=True).ticks()
    assert 3 <= len(ticks) <= 6
    assert all(ends[0] <= tick <= ends[1] for tick in ticks)


def test_a_narrow_logarithmic_axis_names_values_all_along():
    """1, 2, ... 9, 10, 20 would name none between 10 and 17."""
    assert Scale(7.6, 17, 0, 1, log=True).ticks() == [10, 12.5, 15]


def test_an_axis_of_one_value_has_room_around_it():
    assert linear([3.0], 0, 10)(3.0) == pytest.approx(5)
    assert logarithmic([3.0], 0, 10)(3.0) == pytest.approx(5)
    assert linear([0.0], 0, 10, zero=True)(0.0) == 0


def test_an_axis_may_begin_at_nothing():
    assert linear([0.4, 0.5], 0, 1, zero=True).low == 0
    assert linear([0.4, 0.5], 0, 1).low == pytest.approx(0.395)


@pytest.mark.parametrize(
    ("values", "text"), [([0.05, 0.075, 0.1], "0.075"), ([0.1, 0.2], "0.1"), ([0, 20, 40], "20"), ([5.5, 6], "5.5")]
)
def test_ticks_have_as_many_places_as_tell_them_apart(values, text):
    assert text in [tick_text(Scale(0, 1, 0, 1), values)(value) for value in values]


def test_the_frontier_is_what_nothing_beats_at_less_cost():
    points = [(1, 0.1), (2, 0.3), (3, 0.2), (4, 0.3), (5, 0.4), (1, 0.05)]
    assert frontier(points) == [0, 1, 4]
    assert frontier([]) == []

"""Draws: what can be drawn, how often, and that the generator alone decides."""

import math

import pytest
import torch

from distilrec.distil.losses.draws import (
    draw_columns,
    gumbel,
    sample_closure,
    sample_interesting,
    sample_uninteresting,
)
from distilrec.errors import SettingsError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mask(*lengths, k=5):
    return torch.arange(k) < torch.tensor(lengths)[:, None]


def test_interesting_columns_ascend_and_a_short_list_is_taken_whole():
    columns = sample_interesting(mask(5, 2, 0), 3, generator=seeded())
    assert columns.shape == (3, 3)
    assert columns[0].tolist() == sorted(set(columns[0].tolist()))
    assert columns[1:].tolist() == [[0, 1, -1], [-1, -1, -1]]


def test_more_columns_than_there_are_give_them_all():
    assert sample_interesting(mask(5), 9, generator=seeded()).tolist() == [[0, 1, 2, 3, 4]]


def test_the_chance_of_a_rank_halves_where_the_temperature_says_so():
    """At temperature 1 / log 2, ranks 0, 1, 2 have weights 4 : 2 : 1."""
    columns = sample_interesting(mask(3, k=3).repeat(7000, 1), 1, temperature=1 / math.log(2), generator=seeded())
    for rank, wanted in enumerate((4 / 7, 2 / 7, 1 / 7)):
        assert float((columns == rank).float().mean()) == pytest.approx(wanted, abs=0.02)


def test_a_cold_draw_takes_the_best_and_the_generator_decides_over_a_warm_one():
    assert sample_interesting(mask(5), 2, temperature=0.01, generator=seeded()).tolist() == [[0, 1]]
    rows = mask(5).repeat(50, 1)
    first, again, other = (sample_interesting(rows, 2, temperature=1e6, generator=seeded(seed)) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_uninteresting_items_are_drawn_evenly_and_never_from_the_list():
    """Items 1 and 3 of 5 are named, so each of 0, 2 and 4 is a third of what is kept, which is 3/5 of all."""
    drawn = sample_uninteresting(torch.tensor([[3, 1, -1]]), 5, 10_000, generator=seeded())
    kept = drawn[drawn >= 0]
    assert set(kept.tolist()) == {0, 2, 4}
    assert len(kept) == pytest.approx(6000, abs=200)
    assert float((kept == 4).float().mean()) == pytest.approx(1 / 3, abs=0.03)


def test_uninteresting_items_are_those_of_the_generator():
    items = torch.tensor([[0, 1]])
    first, again, other = (sample_uninteresting(items, 1000, 20, generator=seeded(seed)) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_closure_holds_what_the_student_puts_above_the_teachers_items():
    """The student's order is 5, 3, 8, 6. It puts one of the teacher's items, 3, at the ranks of 5 and 3 or below."""
    top = torch.tensor([[5, 3, 8, 6], [5, 3, 8, -1]])
    teacher = torch.tensor([[3, 7], [8, -1]])
    drawn = sample_closure(top, teacher, 2, temperature=0.01, generator=seeded())
    assert drawn[0].tolist() == [5, 3]
    drawn = sample_closure(top, teacher, 3, temperature=0.01, generator=seeded())
    assert drawn[1].tolist() == [5, 3, 8]
    assert sample_closure(top, teacher, 9, generator=seeded()).tolist() == top.tolist()


def test_a_warm_closure_is_drawn_evenly():
    """One teacher item at the top: z is 1, 0; at temperature 1 / log 3 the first is drawn 3 times in 4."""
    top = torch.tensor([[0, 1]]).repeat(4000, 1)
    for temperature, wanted in ((1 / math.log(3), 3 / 4), (1e6, 1 / 2)):
        drawn = sample_closure(top, top[:, :1], 1, temperature=temperature, generator=seeded())
        assert float((drawn == 0).float().mean()) == pytest.approx(wanted, abs=0.03)


def test_columns_without_weight_are_never_drawn_and_huge_weights_do_no_harm():
    weights = torch.tensor([[float("-inf"), 1e4, -1e4, float("-inf")]]).repeat(100, 1)
    columns = draw_columns(weights, 3, generator=seeded())
    assert columns.tolist() == [[1, 2, -1]] * 100


def test_noise_is_finite_and_of_a_gumbel_distributions_mean():
    """Euler's constant."""
    noise = gumbel(torch.zeros(100, 1000), seeded())
    assert noise.isfinite().all()
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.02)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda g: sample_interesting(mask(5), 0, generator=g), "k is 0; expected at least 1"),
        (lambda g: sample_interesting(mask(5), 1, temperature=0, generator=g), "temperature is 0; expected a number"),
        (lambda g: sample_uninteresting(torch.tensor([[0]]), 2, 0, generator=g), "n is 0; expected at least 1"),
        (lambda g: sample_uninteresting(torch.tensor([[0, 1]]), 2, 1, generator=g), "a list names 2 of 2 items, so"),
        (
            lambda g: sample_closure(torch.tensor([[0]]), torch.tensor([[0]]), 1, temperature=math.nan, generator=g),
            "temperature is nan; expected a number above 0",
        ),
    ],
)
def test_draws_that_make_no_sense_are_refused(draw, message):
    with pytest.raises(SettingsError, match=message):
        draw(seeded())

"""A number that changes over training is written in a recipe as a plain number or as a small schedule."""

import doctest

import pytest
import yaml

from distilrec.config import Settings, parse
from distilrec.distil import schedules
from distilrec.distil.schedules import (
    Schedule,
    Scheduled,
    ScheduledShare,
    ScheduledTemperature,
    ScheduledWeight,
    bounds,
    is_zero_from,
    value_at,
)
from distilrec.errors import SettingsError


class Term(Settings):
    """A made-up term of a loss."""

    any: Scheduled = 0.0
    weight: ScheduledWeight = 1.0
    share: ScheduledShare = 0.5
    temperature: ScheduledTemperature = 1.0


def values(scheduled, *progress):
    return [pytest.approx(value_at(scheduled, p)) for p in progress]


def read(text):
    return parse(Term, yaml.safe_load(text), where="term")


def test_a_plain_number_is_a_constant():
    assert [value_at(0.7, progress) for progress in (0.0, 0.3, 1.0)] == [0.7] * 3


def test_a_constant_schedule_stays_at_its_start():
    assert values(Schedule(kind="constant", start=2.0), 0.0, 0.5, 1.0) == [2.0] * 3


def test_a_line_is_halfway_at_half_of_training():
    assert values(Schedule(kind="linear", start=1.0, end=3.0), 0.0, 0.25, 0.5, 1.0) == [1.0, 1.5, 2.0, 3.0]


def test_a_line_changes_between_begin_and_finish_alone():
    schedule = Schedule(kind="linear", start=4.0, end=0.0, begin=0.2, finish=0.6)
    assert values(schedule, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9) == [4.0, 4.0, 3.0, 2.0, 0.0, 0.0]


def test_a_cosine_is_slow_at_both_ends():
    """A third of the way cos(pi / 3) = 1/2, so a quarter of the change is done; after two thirds, three quarters."""
    schedule = Schedule(kind="cosine", start=1.0, end=0.0, finish=0.6)
    assert values(schedule, 0.0, 0.2, 0.3, 0.4, 0.6, 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_a_step_jumps_at_begin():
    schedule = Schedule(kind="step", start=0.7, end=0.1, begin=0.5)
    assert values(schedule, 0.0, 0.49, 0.5, 1.0) == [0.7, 0.7, 0.1, 0.1]


def test_a_line_without_room_is_a_jump():
    schedule = Schedule(kind="linear", start=1.0, end=0.0, begin=0.5, finish=0.5)
    assert values(schedule, 0.49, 0.5) == [1.0, 0.0]


@pytest.mark.parametrize("kind", ["linear", "cosine", "step"])
def test_every_kind_ends_exactly_at_its_end(kind):
    assert value_at(Schedule(kind=kind, start=0.3, end=0.1, begin=0.7), 1.0) == 0.1


def test_the_example_of_the_first_part_only_runs():
    outcome = doctest.testmod(schedules)
    assert (outcome.attempted, outcome.failed) == (2, 0)


@pytest.mark.parametrize(
    ("scheduled", "progress", "expected"),
    [
        (0.0, 0.0, True),
        (0.7, 1.0, False),
        (Schedule(kind="constant", start=0.0), 0.0, True),
        (Schedule(kind="constant", start=1.0), 1.0, False),
        (Schedule(kind="step", start=1.0, end=0.0, begin=0.5), 0.4, False),
        (Schedule(kind="step", start=1.0, end=0.0, begin=0.5), 0.5, True),
        (Schedule(kind="cosine", start=1.0, end=0.0, finish=0.5), 0.49, False),
        (Schedule(kind="cosine", start=1.0, end=0.0, finish=0.5), 0.5, True),
        (Schedule(kind="linear", start=0.0, end=1.0, begin=0.5), 0.2, False),  # 0 now, but not later
        (Schedule(kind="linear", start=-1.0, end=1.0), 0.5, False),  # it passes through 0
        (Schedule(kind="linear", start=0.0, end=0.0, begin=0.5), 0.2, True),
    ],
)
def test_it_is_zero_from_here_on_when_it_never_leaves_zero_again(scheduled, progress, expected):
    assert is_zero_from(scheduled, progress) is expected


def test_bounds_are_the_least_and_greatest_value():
    assert bounds(2.0) == (2.0, 2.0)
    assert bounds(Schedule(kind="constant", start=3.0)) == (3.0, 3.0)
    assert bounds(Schedule(kind="linear", start=3.0, end=1.0)) == (1.0, 3.0)


def test_a_recipe_holds_a_number_or_a_schedule():
    term = read("{weight: 2, share: {kind: cosine, start: 1.0, end: 0.0, finish: 0.5}}")
    assert term.weight == 2.0
    assert isinstance(term.weight, float)
    assert term.share == Schedule(kind="cosine", start=1.0, end=0.0, finish=0.5)


def test_a_recipe_survives_being_written_and_read():
    term = read("{weight: {kind: step, start: 1, end: 0, begin: 0.5}, temperature: 2}")
    assert parse(Term, yaml.safe_load(yaml.safe_dump(term.model_dump(mode="json")))) == term


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{kind: linear, start: 1, end: 0, begin: 0.6, finish: 0.5}", "begin 0.6 comes after finish 0.5"),
        ("{kind: linear, start: 1}", "a linear schedule needs an end, the value that it goes to"),
        ("{kind: constant, start: 1, end: 0}", "a constant schedule has a start alone; leave out end, begin"),
        ("{kind: step, start: 1, end: 0, begin: 0.2, finish: 0.5}", r"a step .* has no finish \(got 0.5\); set begin"),
        ("{kind: step, start: 1, end: 0}", "a step at begin 0 would never have its start; set begin above 0"),
        ("{kind: square, start: 1, end: 0}", "kind: Input should be 'constant', 'linear', 'cosine' or 'step'"),
        ("{kind: linear, start: 1, end: 0, finish: 1.5}", "finish: Input should be less than or equal to 1"),
        ("{kind: linear, start: 1, end: 0, begin: -1}", "begin: Input should be greater than or equal to 0"),
        ("{kind: linear, end: 0}", "start: Field required"),
        ("{kind: linear, start: .nan, end: 0}", "start: Input should be a finite number"),
        ("{kind: linear, start: 1, finsh: 0}", "unknown setting 'any.finsh'; did you mean 'finish'"),
        ("fast", "any: Input should be a valid number"),
        (".inf", "any: Input should be a finite number"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        read(f"{{any: {wrong}}}")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("{weight: -0.1}", "weight: a weight is never negative; its least value is -0.1"),
        ("{weight: {kind: linear, start: 1, end: -2}}", "weight: a weight is never negative; its least value is -2.0"),
        ("{share: 1.1}", "share: a share lies between 0 and 1; its values go from 1.1 to 1.1"),
        ("{share: {kind: linear, start: -1, end: 0}}", "a share lies between 0 and 1; its values go from -1.0 to 0.0"),
        ("{temperature: 0}", "temperature: a temperature is above 0; its least value is 0.0"),
        ("{temperature: {kind: linear, start: 4, end: 0}}", "a temperature is above 0; its least value is 0.0"),
    ],
)
def test_a_term_refuses_values_outside_its_range_wherever_the_schedule_goes(wrong, message):
    with pytest.raises(SettingsError, match=message):
        read(wrong)


def test_a_term_without_bounds_takes_negative_values():
    assert read("{any: -0.5}").any == -0.5

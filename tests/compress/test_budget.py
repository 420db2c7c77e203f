"""Budgets are read as people write them; what makes no sense is refused in words."""

import pytest

from distilrec.compress.budget import Budget, budget_from, size_text
from distilrec.errors import SettingsError


def budget(**given):
    return budget_from(**{"size": None, "latency_ms": None, "energy": None, "loss": None, **given})


@pytest.mark.parametrize(
    ("text", "size"),
    [("1MB", 1_000_000), ("1 mb", 1_000_000), ("500kB", 500_000), ("2MiB", 2 * 2**20), ("0.5KiB", 512), ("900", 900)],
)
def test_sizes_have_units_of_a_thousand_or_of_1024(text, size):
    assert budget(size=text).size_bytes == size


def test_losses_are_shares_or_per_cent_and_energies_joules_or_millijoules():
    assert budget(loss="1%").loss == budget(loss="0.01").loss == 0.01
    assert budget(energy="500mJ").energy_joules == budget(energy="0.5 J").energy_joules == 0.5
    assert budget(latency_ms=0.5).latency_ms == 0.5


def test_a_loss_of_nothing_is_a_budget_for_the_mean():
    assert budget(loss="0%", by="mean").loss == 0


def test_a_loss_has_to_be_shown_unless_the_mean_will_do():
    assert (budget(loss="1%").by, budget(loss="1%", by="mean").by) == ("shown", "mean")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "a budget limits something: give a size, a latency, an energy or a loss"),
        ({"size": "0MB"}, "size_bytes: Input should be greater than 0"),
        ({"size": "-1MB"}, "size_bytes: Input should be greater than 0"),
        ({"size": "1 stone"}, "largest size is given as '1 stone'; expected a number and a unit, such as 1MB, 500kB"),
        ({"size": "small"}, "largest size is given as 'small'"),
        ({"energy": "3kWh"}, "largest energy is given as '3kWh'; expected a number and a unit, such as 0.5J"),
        ({"latency_ms": 0.0}, "latency_ms: Input should be greater than 0"),
        ({"loss": "1"}, "largest loss is given as '1'; expected a share below all, such as 1% or 0.01"),
        ({"loss": "-1%"}, "largest loss is given as '-1%'"),
        ({"loss": "0"}, "no test shows that nothing at all is lost; allow a little, such as 0.5%, or take --by mean"),
        ({"size": "1MB", "by": "luck"}, "by: Input should be 'shown' or 'mean'"),
        ({"loss": "1 kg"}, "largest loss is given as '1 kg'"),
    ],
)
def test_what_makes_no_sense_is_refused(given, told):
    with pytest.raises(SettingsError, match=told):
        budget(**given)


def test_what_is_made_best_follows_from_whether_a_loss_is_allowed():
    assert Budget(size_bytes=5).preference == "quality"
    assert Budget(size_bytes=5, loss=0.01).preference == "size"


def test_sizes_are_told_in_powers_of_a_thousand():
    assert [size_text(size) for size in (999, 825_600, 1_200_000)] == ["999 B", "825.6 kB", "1.2 MB"]

"""An ensemble averages probabilities; its members are asked as they would be alone, and saved with it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from distilrec.config import parse
from distilrec.errors import ArtifactError, SettingsError
from distilrec.models.ensemble import Ensemble, EnsembleSettings, log_softmax
from distilrec.models.kinds import rebuild
from distilrec.models.popularity import Popularity, PopularitySettings
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch, Ragged

ONE, TWO = Batch.of([[0]]), Batch.of([[0, 1, 0], [1]])


@dataclass
class Says:
    """Scores every history the same, and remembers how much of it came."""

    row: list[float]
    max_length: int | None = None
    kind = "says"
    n_parameters = 3
    settings = PopularitySettings()

    @property
    def n_items(self):
        return len(self.row)

    def scores(self, batch):
        self.longest = batch.items.shape[1]
        return np.tile(np.float32(self.row), (len(batch), 1))


def join(*members, weights=(0.5, 0.5), temperatures=(1, 1), **options):
    return Ensemble.of(members, weights=weights, temperatures=temperatures, **options)


def popularity(*counts):
    return Popularity(PopularitySettings(), np.array(counts))


def transformer(**settings):
    torch.manual_seed(0)
    return Transformer(TransformerSettings(width=4, **settings), 3).eval()


def test_probabilities_are_averaged_with_the_weights():
    # softmax of logs gives the shares back: 3/4 of (1/2, 1/2) and 1/4 of (1/10, 9/10)
    scores = join(Says([0.0, 0.0]), Says([np.log(1), np.log(9)]), weights=(3 / 4, 1 / 4)).scores(ONE)
    assert np.exp(scores[0]) == pytest.approx([3 / 8 + 1 / 40, 3 / 8 + 9 / 40])


def test_a_members_scores_are_divided_by_its_temperature():
    scores = join(Says([0.0, 2 * np.log(3)]), Says([0.0, 0.0]), weights=(1, 0), temperatures=(2, 1)).scores(ONE)
    assert np.exp(scores[0]) == pytest.approx([1 / 4, 3 / 4])


def test_a_member_without_weight_is_not_asked():
    silent = Says([0.0, 5.0])
    join(silent, Says([0.0, 0.0]), weights=(0, 1)).scores(ONE)
    assert not hasattr(silent, "longest")


def test_scores_far_apart_stay_finite():
    scores = join(Says([0.0, 1e4]), Says([0.0, 2e4])).scores(ONE)
    assert scores[0] == pytest.approx([np.log(0.5) - 1e4, 0])


def test_without_the_history_the_probabilities_of_the_other_items_sum_to_one():
    # item 0 is the history; of the others the first member says 1/4 and 3/4, the second 1/2 and 1/2
    loves_the_past, even = Says([50.0, 0.0, np.log(3)]), Says([0.0, 0.0, 0.0])
    scores = join(loves_the_past, even, exclude_history=True).scores(ONE)[0]
    assert np.exp(scores[1:]) == pytest.approx([3 / 8, 5 / 8])
    assert np.isfinite(scores[0])
    assert np.exp(join(loves_the_past, even).scores(ONE)[0, 1:]) == pytest.approx([1 / 6, 1 / 6])


def test_without_the_history_empty_and_whole_histories_have_scores_too():
    scores = join(Says([0.0, np.log(3)]), Says([0.0, np.log(3)]), exclude_history=True).scores(Batch.of([[], [1, 0]]))
    assert np.exp(scores) == pytest.approx(np.array([[1 / 4, 3 / 4]] * 2))


def test_what_was_added_to_all_scores_of_a_history_changes_nothing():
    assert log_softmax(np.float32([[1, 2]]), 2.0) == pytest.approx(log_softmax(np.float32([[101, 102]]), 2.0))


def test_each_member_is_given_what_it_reads():
    short, whole = Says([0.0, 0.0], max_length=2), Says([0.0, 0.0])
    both = join(short, whole)
    assert both.scores(TWO).shape == (2, 2)
    assert (short.longest, whole.longest) == (2, 3)


@pytest.mark.parametrize(("lengths", "reads"), [((2, 5), 5), ((2, None), None)])
def test_it_reads_what_the_member_that_reads_most_reads(lengths, reads):
    assert join(*(Says([0.0], max_length=n) for n in lengths)).max_length == reads


def test_its_size_is_that_of_its_members():
    both = join(Says([0.0, 0.0]), popularity(3, 1))
    assert (both.n_items, both.n_parameters) == (2, 3 + 2)


def test_its_arrays_are_its_members_arrays_by_number():
    state = join(popularity(3, 1), popularity(0, 2)).state()
    assert {name: array.tolist() for name, array in state.items()} == {"0.counts": [3, 1], "1.counts": [0, 2]}


def test_it_is_rebuilt_with_all_its_members_even_one_that_is_an_ensemble():
    inner = join(popularity(3, 1, 0), transformer(max_length=2))
    outer = join(inner, transformer(), weights=(0.25, 0.75), temperatures=(0.5, 2))
    again = rebuild("ensemble", parse_json(outer.settings), outer.state())
    assert again.settings == outer.settings
    np.testing.assert_array_equal(again.scores(TWO), outer.scores(TWO))


def parse_json(settings):
    """The settings as they come back from a file."""
    return parse(EnsembleSettings, settings.model_dump(mode="json")).model_dump(mode="json")


@pytest.mark.parametrize("name", ["2.counts", "counts", "x.counts", "-1.counts"])
def test_an_array_of_no_member_is_refused(name):
    both = join(popularity(3, 1), popularity(0, 2))
    with pytest.raises(ArtifactError, match=f"array '{name}' belongs to none of the 2 members"):
        Ensemble.from_state(both.settings, {**both.state(), name: np.zeros(2)})


def test_a_member_without_its_arrays_is_refused_in_its_own_words():
    both = join(popularity(3, 1), popularity(0, 2))
    with pytest.raises(ArtifactError, match="the state of popularity holds nothing; expected counts"):
        Ensemble.from_state(both.settings, {"0.counts": np.ones(2)})


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([[0]], {"weights": [1], "temperatures": [1]}, "two members or more; got 1"),
        ([[0], [0, 0]], {}, "different catalogues: says ranks 1 items, says ranks 2 items; take models trained on the"),
        ([[0], [0]], {"weights": [0.5, 0.6]}, r"weights are \[0.5, 0.6\], which sum to 1.1; expected a sum of 1"),
        ([[0], [0]], {"weights": [1.5, -0.5]}, r"weights are \[1.5, -0.5\]; expected none below 0"),
        ([[0], [0]], {"weights": [1]}, "2 members has 1 weights and 2 temperatures; expected one of each"),
        ([[0], [0]], {"weights": [np.nan, 1]}, "ensemble: weights.0: Input should be a finite number"),
        ([[0], [0]], {"temperatures": [1, 0]}, r"temperatures are \[1.0, 0.0\]; expected all above 0"),
    ],
)
def test_what_is_no_ensemble_is_refused(members, options, message):
    with pytest.raises(SettingsError, match=message):
        join(*map(Says, members), **options)


def test_no_members_at_all_are_refused():
    with pytest.raises(SettingsError, match="two members or more; got 0"):
        join(weights=(), temperatures=())


def test_popular_items_lead_where_all_else_is_even():
    counted = Popularity.fit(Ragged.of([[1, 1, 2]]), n_items=3)
    assert join(counted, Says([0.0, 0.0, 0.0])).scores(ONE)[0].argsort()[::-1].tolist() == [1, 2, 0]

"""What is printed about a folder says what is in it, and samples name the items that the teacher puts first."""

import numpy as np
import pytest
from small_knowledge import ITEMS, POSITIONS, ROWS, VECTORS, windows_batch, writer

from distilrec.knowledge import Column, DenseLabels, FactorPart, Knowledge, ListLabels, ListPart
from distilrec.knowledge.show import Sharpness, covered_positions, describe_knowledge, sharpness, ten_best, warnings_of
from distilrec.types import Batch

TITLES = ["Alien", "Brazil", "Cabaret", "Dune", "Eraserhead", "Fargo"]


class Says:
    """A teacher that says the same of every batch."""

    def __init__(self, *parts):
        self._parts = list(parts)

    def digest(self):
        return "says"

    def item_vectors(self):
        return None

    def soft_labels(self, batch):
        return self._parts


def dense(*weights):
    return DenseLabels(np.log(np.array(weights, np.float32)))


def sure(*weights):
    return sharpness([dense(*weights)], n_positions=len(weights), n_items=len(weights[0]))


def test_sharpness_is_the_mean_of_the_best_probability_and_of_the_entropy():
    """One position is sure of one of four items, the other finds all alike."""
    found = sure([1, 1e-30, 1e-30, 1e-30], [1, 1, 1, 1])
    assert found.top_probability == pytest.approx((1 + 1 / 4) / 2)
    assert found.entropy == pytest.approx((0 + 1) / 2, abs=1e-6)


def test_entropy_is_a_share_of_what_it_could_be():
    """Two of four items alike: log 2 of log 4."""
    assert sure([1, 1, 1e-30, 1e-30]).entropy == pytest.approx(1 / 2)


def test_only_positions_that_are_spoken_of_count():
    empty = ListLabels(np.array([[-1], [0]]), np.zeros((2, 1), np.float32), np.zeros(2, np.float32))
    assert sharpness([empty], n_positions=2, n_items=3).top_probability == pytest.approx(1)
    assert sharpness([], n_positions=2, n_items=3) is None


def test_labels_that_are_nearly_one_hot_or_nearly_flat_are_warned_about():
    (one_hot,) = warnings_of(Sharpness(top_probability=0.96, entropy=0.05))
    assert one_hot.startswith("the soft labels are nearly one-hot: the best item has probability 0.960 on average, so")
    assert one_hot.endswith("Their order teaches as before (`relaxed_ranking`, the default)")
    (flat,) = warnings_of(Sharpness(top_probability=0.01, entropy=0.985))
    assert flat.startswith("the soft labels are nearly flat: their entropy is 98.5% of the largest that there can be")
    assert flat.endswith("Train the teacher longer; lower the temperature where `alpha` is above 0")


def test_labels_in_between_are_not_warned_about():
    assert warnings_of(Sharpness(top_probability=0.95, entropy=0.98)) == []
    assert warnings_of(None) == []


def lines_about(knowledge):
    """Each line under its heading."""
    found = {}
    for line in describe_knowledge(knowledge):
        heading, text = line[:15].strip(), line[16:]
        found.setdefault(heading, []).append(text)
    return found


def test_a_folder_of_factors_is_described(folder):
    found = lines_about(Knowledge.open(folder))
    assert found.pop("made")[0].split(", in ")[1].count("Python") == 1
    assert found == {
        "teacher": ["kind made up"],
        "teacher digest": ["t1"],
        "kinds": ["soft_labels, item_vectors"],
        "soft labels": ["history_vectors x item_vectors, the whole catalogue, temperature 1, weight 1"],
        "speaks of": ["5 windows, 9 positions, 6 items"],
        "coverage": ["9 of 9 positions (100.0%)"],
        "column": ["history_vectors: 4 float32 a position, 16.0 bytes a position"],
        "table": ["item_vectors [6, 4] float32", "positions [5] int64"],
        "size": ["0.0 MB in all, 16.0 bytes a position"],
    }


def fill_with(folder, columns, parts, *, tables=None, facts=None):
    """All in one shard; `columns` maps a column to all its rows."""
    work = writer(folder, columns=list(columns), windows_per_shard=99)
    work.write_shard(0, {column.name: rows for column, rows in columns.items()})
    for name, table in (tables or {}).items():
        work.write_table(name, table)
    return work.finish(parts, n_items=6, kinds=["soft_labels"], facts=facts)


def lists(n_known):
    """One list of two items for each position; the first `n_known` have any."""
    items = np.where(np.arange(9)[:, None] < n_known, [[5, 2]], -1)
    logits = np.log(np.tile([[0.5, 0.3]], (9, 1)))
    return dict(zip(ListPart().columns(2, 6), (items, logits, np.zeros(9)), strict=True))


def test_a_folder_of_lists_says_how_many_positions_have_one(tmp_path):
    found = lines_about(fill_with(tmp_path, lists(n_known=3), [ListPart(weight=0.5)], facts={"warnings": ["look out"]}))
    assert found["soft labels"] == ["lists of the 2 best items (top), the rest evenly, weight 0.5"]
    assert found["coverage"] == ["3 of 9 positions (33.3%)"]
    assert found["size"] == ["0.0 MB in all, 12.0 bytes a position"]  # two items, two logits of 2 bytes, one sum of 4
    assert found["warning"] == ["look out"]


def test_columns_of_windows_and_pairs_are_counted_for_each_position(tmp_path):
    """Five windows of 8 bytes and 19 pairs of 2 bytes, over nine positions."""
    columns = {
        Column("user_vectors", (2,), "float32", per="window"): np.zeros((5, 2), np.float32),
        Column("attention", (), "float16", per="pair"): np.zeros(19, np.float32),
    }
    found = lines_about(fill_with(tmp_path, columns, []))
    assert found["column"] == [
        "user_vectors: 2 float32 a window, 4.4 bytes a position",
        "attention: 1 float16 a pair, 4.2 bytes a position",
    ]
    assert "coverage" not in found
    assert "soft labels" not in found


def test_a_position_is_covered_when_any_part_speaks_of_it(tmp_path):
    """Windows 0 and 3 are of fold 1: positions 0, 1 and 6; lists cover the first three positions."""
    columns = {VECTORS: ROWS, **lists(n_known=3)}
    tables = {"item_vectors": ITEMS, "folds": np.array([1, 0, 0, 1, 0])}
    found = fill_with(tmp_path, columns, [FactorPart(fold=1), ListPart()], tables=tables)
    assert np.flatnonzero(covered_positions(found)).tolist() == [0, 1, 2, 6]
    assert "windows of fold 1" in lines_about(found)["soft labels"][0]


def history(*items, chosen=None):
    targets = None if chosen is None else np.array([[*items[1:], chosen]])
    return Batch(np.array([items]), np.array([len(items)]), targets, rows=np.array([7]))


def last_row(*weights):
    """Nothing but the last of three positions is spoken of."""
    return DenseLabels(np.log(np.array([weights], np.float32)), rows=np.array([2]))


def test_the_best_items_of_a_history_are_named_with_their_probabilities():
    told = ten_best(Says(last_row(1, 4, 1, 2, 1, 1)), history(0, 4, 5, chosen=3), TITLES, k=2, history=2)
    assert told == [
        "Window 7, 3 items, the newest: Eraserhead; Fargo",
        "   1. 0.4000  Brazil",
        "   2. 0.2000  Dune  <- came next",
    ]


def test_an_item_that_came_next_is_named_though_it_is_not_among_the_best():
    told = ten_best(Says(last_row(1, 4, 1, 2, 1, 1)), history(0, 4, 5, chosen=0), TITLES, k=1)
    assert told[1:] == ["   1. 0.4000  Brazil", "      0.1000  Alien  <- came next"]


def test_items_of_the_tail_are_all_alike_so_none_is_named():
    told = ten_best(Says(last_row(1, 4, 1, 2, 1, 1)), history(0, 4, 5), TITLES)
    assert len(told) == 1 + 2
    told = ten_best(Says(last_row(1, 1, 1, 1, 1, 1)), history(0, 4, 5), TITLES)
    assert told[1:] == ["   all items are equally likely"]


def test_a_position_without_a_label_is_said_to_have_none():
    assert ten_best(Says(), history(0, 4, 5, chosen=1), TITLES)[1:] == ["   the teacher says nothing here"]


def test_every_window_of_a_batch_is_shown_from_disk(tmp_path):
    """Position 1 is the last of window 0 and has a list; position 2 is window 1, and has none."""
    found = fill_with(tmp_path, lists(n_known=2), [ListPart()])
    told = ten_best(found, windows_batch(0, 1), TITLES)
    assert [line.split()[-1] for line in told if "Window" not in line] == ["Fargo", "Cabaret", "here"]
    assert POSITIONS[:2].tolist() == [2, 1]

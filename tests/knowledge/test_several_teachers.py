"""A mixture of mixtures: each teacher has its share wherever it speaks, however it is made."""

import numpy as np
import pytest
from small_knowledge import ITEMS, windows_batch, write

from distilrec.errors import KnowledgeError, SettingsError
from distilrec.knowledge import DenseLabels, FactorLabels, ListLabels
from distilrec.knowledge.labels import probabilities
from distilrec.knowledge.several import SeveralTeachers, evened

BATCH = windows_batch(1, 0)  # three positions


class Says:
    """A made-up teacher that says these parts of three positions and two items."""

    def __init__(self, *parts, table=None, columns=None):
        self.parts, self.table, self.held = list(parts), table, columns or {}

    @property
    def columns(self):
        return self.held

    def digest(self):
        return str([part.weight for part in self.parts])

    def soft_labels(self, batch):
        return self.parts

    def item_vectors(self):
        return self.table

    def user_vectors(self):
        return self.table

    def column_width(self, name):
        return self.held[name].shape[1]

    def column(self, name, batch):
        return self.held[name]


def dense(share, rows=None, weight=1.0):
    """The first of two items has this share, everywhere or at some rows."""
    n = 3 if rows is None else len(rows)
    logits = np.log(np.repeat([[share, 1 - share]], n, axis=0).astype(np.float32))
    return DenseLabels(logits, None if rows is None else np.array(rows), weight)


def first_items_share(source):
    shares, covered = probabilities(source.soft_labels(BATCH), n_positions=3, n_items=2)
    return shares[:, 0], covered


def test_two_teachers_are_averaged_by_their_weights():
    share, covered = first_items_share(SeveralTeachers([Says(dense(0.9)), Says(dense(0.1))], [0.75, 0.25]))
    np.testing.assert_allclose(share, 0.75 * 0.9 + 0.25 * 0.1, rtol=1e-6)
    assert covered.all()


def test_where_one_is_silent_the_other_counts_in_full():
    one, other = Says(dense(0.9, rows=[0, 1])), Says(dense(0.1, rows=[1, 2]))
    share, _ = first_items_share(SeveralTeachers([one, other], [0.5, 0.5]))
    np.testing.assert_allclose(share, [0.9, 0.5, 0.1], rtol=1e-6)


def test_a_position_that_nobody_speaks_of_is_not_covered():
    _, covered = first_items_share(SeveralTeachers([Says(dense(0.9, rows=[0])), Says()], [0.5, 0.5]))
    assert covered.tolist() == [True, False, False]


def test_a_teacher_of_many_parts_has_no_larger_share_than_one_of_a_single_part():
    """Four parts of weight 1, of which two speak of each position, as those of a cross-fitted ensemble do."""
    many = Says(dense(0.9), dense(0.9, rows=[0]), dense(0.9, rows=[1]), dense(0.9, rows=[2]))
    share, _ = first_items_share(SeveralTeachers([many, Says(dense(0.1))], [0.5, 0.5]))
    np.testing.assert_allclose(share, 0.5, rtol=1e-6)


def test_a_teacher_whose_parts_speak_of_different_positions_has_its_share_at_each():
    """Two parts speak of the first position, one of the others."""
    uneven = Says(dense(0.9), dense(0.5, rows=[0], weight=3.0))
    share, _ = first_items_share(SeveralTeachers([uneven, Says(dense(0.1))], [0.5, 0.5]))
    np.testing.assert_allclose(share, [(0.9 / 4 + 0.5 * 3 / 4) / 2 + 0.05, 0.5, 0.5], rtol=1e-6)


FORMS = {
    "dense": dense(0.9, weight=2.0),
    "factors": FactorLabels(np.array([[1.0], [2], [3]]), np.array([[1.0], [0]]), weight=2.0),
    "lists": ListLabels(np.array([[0], [1], [0]]), np.zeros((3, 1)), np.ones(3), weight=2.0),
}


@pytest.mark.parametrize("form", FORMS)
def test_cutting_and_evening_changes_no_mixture(form):
    parts = [FORMS[form], dense(0.2, rows=[1])]
    (before, _), (after, _) = (probabilities(p, n_positions=3, n_items=2) for p in (parts, evened(parts, 3)))
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert sorted(part.rows.tolist() for part in evened(parts, 3)) == [[0, 2], [1], [1]]


@pytest.mark.parametrize("form", FORMS)
def test_a_part_that_is_alone_is_not_cut(form):
    (alone,) = evened([FORMS[form]], 3)
    assert alone.weight == 1
    assert alone.rows is None


def test_an_empty_list_has_no_share():
    lists = ListLabels(np.array([[0], [-1], [0]]), np.zeros((3, 1), np.float32), np.zeros(3, np.float32))
    share, _ = first_items_share(SeveralTeachers([Says(lists, dense(0.8)), Says(dense(0.1))], [0.5, 0.5]))
    np.testing.assert_allclose(share, [(1 + 0.8) / 4 + 0.05, 0.45, (1 + 0.8) / 4 + 0.05], rtol=1e-6)


def test_item_and_user_vectors_are_of_the_heaviest_that_has_some():
    light, heavy, none = Says(table=ITEMS), Says(table=2 * ITEMS), Says()
    several = SeveralTeachers([light, heavy, none], [0.1, 0.3, 0.6])
    np.testing.assert_array_equal(several.item_vectors(), 2 * ITEMS)
    np.testing.assert_array_equal(several.user_vectors(), 2 * ITEMS)
    assert SeveralTeachers([none], [1.0]).item_vectors() is None
    assert SeveralTeachers([none], [1.0]).user_vectors() is None


def test_a_column_is_of_the_first_that_has_it_and_lists_are_nobodys():
    one, other = np.zeros((3, 2)), np.ones((3, 4))
    several = SeveralTeachers([Says(columns={"a": one}), Says(columns={"a": other, "b": other})], [0.5, 0.5])
    assert (several.column_width("a"), several.column_width("b")) == (2, 4)
    assert several.column("a", BATCH) is one
    assert list(several.columns) == ["a", "b"]
    assert several.lists(BATCH) is None
    with pytest.raises(KnowledgeError, match="none of the 2 teachers has c; they have a, b"):
        several.column("c", BATCH)
    with pytest.raises(KnowledgeError, match="none of the 1 teachers has c; they have no columns"):
        SeveralTeachers([Says()], [1.0]).column_width("c")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.3], r"the teachers' weights 0.5, 0.3 sum to 0.8; expected 1"),
        ([1.5, -0.5], r"the teachers' weights are 1.5, -0.5; expected numbers above 0, so leave a teacher out"),
        ([1.0], "2 teachers have the weights 1; expected one for each"),
        ([], "2 teachers have the weights none; expected one for each"),
    ],
)
def test_weights_that_are_no_shares_are_refused(weights, message):
    with pytest.raises(SettingsError, match=message):
        SeveralTeachers([Says(), Says()], weights)


def test_no_teachers_are_refused():
    with pytest.raises(SettingsError, match="0 teachers have the weights none"):
        SeveralTeachers([], [])


def test_other_teachers_or_weights_have_another_digest():
    one, other = Says(dense(0.5)), Says(dense(0.5, weight=2.0))
    digests = {SeveralTeachers([a, b], [w, 1 - w]).digest() for a, b, w in [(one, other, 0.5), (other, one, 0.5)]}
    assert len(digests | {SeveralTeachers([one, other], [0.25, 0.75]).digest()}) == 3


def test_folders_are_mixed_and_each_must_belong_to_the_data(tmp_path):
    folders = [write(tmp_path / "a"), write(tmp_path / "b")]
    several = SeveralTeachers(folders, [0.5, 0.5])
    mixed, alone = several.soft_labels(BATCH), folders[0].soft_labels(BATCH)
    one, both = (probabilities(parts, n_positions=3, n_items=6)[0] for parts in (alone, mixed))
    np.testing.assert_allclose(both, one, atol=1e-9)
    assert [part.weight for part in mixed] == [0.5, 0.5]
    several.check_belongs(windows_digest="w1", n_items=6)
    with pytest.raises(KnowledgeError, match="was extracted from other training windows"):
        several.check_belongs(windows_digest="w2", n_items=6)
    assert several.column_width("history_vectors") == 4

"""Cross-fitting: each window is spoken of by the teacher that has not seen its user, live and on disk."""

import numpy as np
import pytest
from small_teachers import EXACT, N_ITEMS, SEQUENCES, ease, network, shares, take

from distilrec.errors import KnowledgeError
from distilrec.models.ease import EASE, EASESettings
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.teacher import as_teacher


def test_each_window_is_spoken_of_by_the_teacher_that_has_not_seen_its_user(tmp_path, windows):
    folds = windows.owners % 2
    teachers = [as_teacher(network(0)), as_teacher(network(1))]
    folded = FoldedTeacher(teachers, folds)
    found = take(folded, tmp_path, windows, most_windows_per_shard=5)
    for row in (0, 3, 12, 13):
        batch = windows.batch(np.array([row]))
        wanted = shares(teachers[folds[row]], batch)
        np.testing.assert_allclose(shares(found, batch), wanted, atol=1e-5)
        np.testing.assert_allclose(shares(folded, batch), wanted, atol=1e-5)
    mixed = windows.batch(np.array([0, 3, 12, 13]))
    np.testing.assert_allclose(shares(found, mixed), shares(folded, mixed), atol=1e-5)


def test_cross_fitted_teachers_without_factors_give_one_list_of_their_own_folds(tmp_path, windows):
    folds = windows.owners % 2
    teachers = [as_teacher(EASE.fit(SEQUENCES, n_items=N_ITEMS, settings=EASESettings(l2=l2))) for l2 in (5, 50)]
    found = take(FoldedTeacher(teachers, folds), tmp_path, windows, EXACT.with_changes(top_k=N_ITEMS))
    assert list(found.columns) == ["top_items", "top_logits", "top_log_sums"]
    for row in (0, 3, 12, 13):
        batch = windows.batch(np.array([row]))
        np.testing.assert_allclose(shares(found, batch), shares(teachers[folds[row]], batch), atol=1e-5)


def test_a_fold_that_a_batch_has_no_windows_of_is_not_asked(windows):
    class Silent:
        def soft_labels(self, batch):
            raise AssertionError("nobody's fold is asked")

    folds = windows.owners % 2
    folded = FoldedTeacher([as_teacher(network(0)), Silent()], folds)
    (part,) = folded.soft_labels(windows.batch(np.flatnonzero(folds == 0)[:3]))
    assert len(part.rows) == len(part.history_vectors)


def test_folds_without_a_teacher_or_of_different_forms_are_refused(tmp_path, windows):
    one, folds = as_teacher(network(0)), windows.owners % 2
    with pytest.raises(KnowledgeError, match="windows are in folds up to 1; there are 1 teachers"):
        FoldedTeacher([one], folds)
    with pytest.raises(KnowledgeError, match=r"folds 0 and 1 differ in form: .*'FactorLabels', 16.*'DenseLabels', 10"):
        take(FoldedTeacher([one, as_teacher(ease())], folds), tmp_path, windows)
    with pytest.raises(KnowledgeError, match=r"hidden\.norm has widths 16, 8 in the folds; expected one width"):
        FoldedTeacher([one, as_teacher(network(0, width=8))], folds).column_width("hidden.norm")
    with pytest.raises(KnowledgeError, match=r"take it from Windows\.batch"):
        FoldedTeacher([one, one], folds).soft_labels(type(windows.batch(np.zeros(1, dtype=np.int64))).of([[1]]))


def test_the_layers_of_cross_fitted_teachers_are_looked_into_fold_by_fold(tmp_path, windows):
    folds = windows.owners % 2
    teachers = [as_teacher(network(0)), as_teacher(network(1))]
    names = ("hidden.blocks.0", "attention.blocks.0", "history_vectors")
    settings = EXACT.with_changes(hidden=("blocks.0",), attention=("blocks.0",))
    folded = FoldedTeacher(teachers, folds)
    found = take(folded, tmp_path, windows, settings, most_windows_per_shard=5)
    for row in (0, 13):
        batch = windows.batch(np.array([row]))
        for name in names:
            np.testing.assert_allclose(found.column(name, batch), teachers[folds[row]].column(name, batch), atol=1e-5)
    mixed = windows.batch(np.array([13, 0, 12, 3]))
    for name in names:
        np.testing.assert_allclose(found.column(name, mixed), folded.column(name, mixed), atol=1e-5)
    nobody = windows.batch(np.zeros(0, dtype=np.int64))
    assert folded.column("hidden.blocks.0", nobody).shape == (0, 16)
    assert (folded.lists(mixed), folded.user_vectors()) == (None, None)
    assert "hidden.blocks.0" in folded.columns


def test_lists_beside_cross_fitted_factors_are_of_each_windows_fold(tmp_path, windows):
    folded = FoldedTeacher([as_teacher(network(0)), as_teacher(network(1))], windows.owners % 2)
    found = take(folded, tmp_path, windows, EXACT.with_changes(soft_labels="both", top_k=2))
    batch = windows.batch(np.arange(9))
    np.testing.assert_array_equal(found.lists(batch).items[:, 0], shares(folded, batch).argmax(axis=1))

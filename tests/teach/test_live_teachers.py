"""A teacher that is asked while a student trains: what it can be asked for, and what that costs."""

import numpy as np
import pytest
import torch
from small_teachers import EXACT, N_ITEMS, ease, take

from distilrec.errors import KnowledgeError, SettingsError
from distilrec.models.ensemble import Ensemble
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.teacher import VectorTeacher, as_teacher


def test_relations_of_values_are_taken_too_and_a_live_teacher_gives_the_same(tmp_path, teacher, windows):
    settings = EXACT.with_changes(relations=("blocks.0.value", "blocks.0"), relation_heads=4)
    found, batch = take(teacher, tmp_path, windows, settings), windows.batch(np.array([11, 2]))
    live = as_teacher(teacher, relation_heads=4)
    for name in ("relation.blocks.0.value", "relation.blocks.0"):
        assert found.column_width(name) == live.column_width(name) == 4
        np.testing.assert_allclose(live.column(name, batch), found.column(name, batch), atol=1e-6)


def test_soft_labels_and_columns_of_a_batch_cost_one_forward_pass(teacher, windows):
    live, calls = VectorTeacher(teacher), []
    live.module.register_forward_hook(lambda *_: calls.append(1))
    for name in ("hidden.blocks.0", "attention.blocks.0"):
        live.column_width(name)  # told before training
    calls.clear()
    batch = windows.batch(np.arange(3))
    live.soft_labels(batch)
    live.column("hidden.blocks.0", batch), live.column("attention.blocks.0", batch), live.soft_labels(batch)
    assert len(calls) == 1
    live.soft_labels(windows.batch(np.arange(3)))  # another batch, though it is alike
    assert len(calls) == 2


def test_a_live_network_names_its_columns(teacher):
    live = VectorTeacher(teacher)
    assert {"history_vectors", "hidden.norm", "attention.blocks.0", "relation.blocks.0.key"} <= set(live.columns)
    assert (live.column_width("history_vectors"), live.column_width("attention.blocks.0")) == (16, 2)


def test_a_layer_that_a_live_network_lacks_is_refused_and_spoils_nothing(teacher, windows):
    live, batch = VectorTeacher(teacher), windows.batch(np.arange(2))
    with pytest.raises(SettingsError, match=r"the teacher has no layer 'blocks.7'; near it are blocks"):
        live.column_width("hidden.blocks.7")
    with pytest.raises(SettingsError, match="'depth' names nothing inside a network"):
        live.column_width("depth")
    assert live.column("hidden.blocks.0", batch).shape == (batch.lengths.sum(), 16)


@pytest.mark.parametrize("form", ["factors", "scores", "mixture", "folds"])
def test_a_live_teacher_of_another_catalogue_is_refused(teacher, windows, form):
    one = as_teacher(teacher)
    live = {
        "factors": one,
        "scores": as_teacher(ease()),
        "mixture": as_teacher(Ensemble.of([teacher.fold(), ease()], weights=[0.5, 0.5], temperatures=[1, 1])),
        "folds": FoldedTeacher([one, one], windows.owners % 2),
    }[form]
    live.check_belongs(windows_digest="any", n_items=N_ITEMS)
    with pytest.raises(KnowledgeError, match="the teacher ranks 10 items; this catalogue has 11"):
        live.check_belongs(windows_digest="any", n_items=11)


def test_a_live_teacher_is_a_copy(teacher, windows):
    live, batch = VectorTeacher(teacher), windows.batch(np.array([0, 1]))
    before = live.history_vectors(batch), live.digest()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(live.history_vectors(batch), before[0])
    assert live.digest() == before[1] != VectorTeacher(teacher).digest()

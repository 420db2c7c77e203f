"""The first teacher: pretrained item vectors, projected, plus free ones."""

import numpy as np
import pytest

from distilrec.models.transformer import TransformerSettings
from distilrec.teach.text_and_ids import TeacherSettings, build_teacher

CONTENT = np.random.default_rng(0).normal(size=(10, 12)).astype(np.float32)


def test_a_teacher_is_a_transformer_over_content_and_free_vectors():
    """The projection has 16 x 12 numbers, the free part 10 x 16; the content itself is not learnt."""
    with_free = build_teacher(TeacherSettings(width=16), CONTENT)
    without = build_teacher(TeacherSettings(width=16, free=False), CONTENT)
    assert with_free.n_items == 10
    assert with_free.n_parameters - without.n_parameters == 10 * 16
    assert without.n_parameters - without.fold().n_parameters == 16 * 12 - 10 * 16


def test_its_settings_are_a_transformers_so_that_it_is_saved_as_one():
    teacher = build_teacher(TeacherSettings(width=16, heads=2, max_length=7), CONTENT)
    assert type(teacher.settings) is TransformerSettings
    assert teacher.settings == TransformerSettings(width=16, heads=2, max_length=7)


def test_a_teacher_is_wider_than_a_student_unless_told_otherwise():
    assert TeacherSettings().width > TransformerSettings().width


@pytest.mark.parametrize("free", [True, False])
def test_items_of_the_same_text_differ_only_by_their_free_part(free):
    teacher = build_teacher(TeacherSettings(width=16, free=free), CONTENT[[0, 0]])
    first, second = teacher.item_vectors().detach().numpy()
    assert (first == second).all() != free

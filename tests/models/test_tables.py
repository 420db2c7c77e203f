"""Where an item's vector comes from while a model is trained."""

import numpy as np
import pytest
import torch

from distilrec.errors import SettingsError
from distilrec.models.tables import ContentTable, IdTable


def test_an_id_table_is_one_small_free_vector_an_item():
    torch.manual_seed(0)
    table = IdTable(1000, 64)
    assert table().shape == (1000, 64)
    assert float(table().detach().std()) == pytest.approx(0.02, rel=0.05)


def test_a_content_vector_is_projected_and_the_free_part_added():
    table = ContentTable(np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), 3)
    with torch.no_grad():
        table.project.weight.copy_(torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]))  # [D, F]
        table.free.weight.copy_(torch.tensor([[0.0, 0.0, 9.0], [0.0, 0.0, 0.0]]))
    assert table().tolist() == [[1.0, 2.0, 9.0], [2.0, 0.0, 6.0]]


def test_without_the_free_part_items_of_equal_content_are_the_same_item():
    table = ContentTable(np.ones((2, 4), np.float32), 3, free=False)
    assert table.free is None
    assert torch.equal(table()[0], table()[1])


def test_the_content_is_copied_not_learnt_and_not_saved():
    content = np.ones((2, 4), np.float32)
    table = ContentTable(content, 3)
    content[:] = 7
    assert table.content.max() == 1
    assert sorted(table.state_dict()) == ["free.weight", "project.weight"]
    assert "content" not in dict(table.named_parameters())


def test_content_in_double_precision_is_taken_too():
    assert ContentTable(np.ones((2, 4)), 3)().dtype == torch.float32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones(3, np.float32), r"content vectors have shape \(3,\); expected \[N, F\]"),
        (np.ones((0, 3), np.float32), r"content vectors have shape \(0, 3\)"),
        (np.array([[1.0, np.nan]], np.float32), "content vectors hold NaN or infinity; encode the catalogue again"),
    ],
)
def test_content_that_cannot_be_used_is_refused(content, message):
    with pytest.raises(SettingsError, match=message):
        ContentTable(content, 3)

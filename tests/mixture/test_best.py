"""The largest numbers of each row, against those of torch."""

import pytest
import torch

from distilrec.mixture.best import largest


@pytest.mark.parametrize("n", [1, 7, 40, 163])  # below, at and beside whole blocks
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_values_and_columns_are_torchs(n, kind):
    scores = torch.randn(50, n, generator=torch.Generator().manual_seed(0)).to(kind)
    for k in {1, min(5, n), n}:
        values, columns = largest(scores, k)
        assert torch.equal(values.to(kind), scores.topk(k, dim=1).values)
        assert torch.equal(scores.gather(1, columns), values.to(kind))
        assert all(len(set(row)) == k for row in columns.tolist())


def test_where_many_are_alike_any_of_them_are_taken_each_once():
    scores = torch.tensor([[0.0] * 90 + [1.0] * 10])
    values, columns = largest(scores, 12)
    assert values.tolist() == [[1.0] * 10 + [0.0] * 2]
    assert set(columns[0, :10].tolist()) == set(range(90, 100))
    assert len(set(columns[0].tolist())) == 12


def test_minus_infinity_comes_last_and_is_a_place_of_its_own_row():
    scores = torch.full((2, 40), -torch.inf)
    scores[1] = torch.arange(40)
    scores[0, 7] = 1.0
    values, columns = largest(scores, 2)
    assert values.tolist() == [[1.0, -torch.inf], [39.0, 38.0]]
    assert 0 <= int(columns.min()) <= int(columns.max()) < 40
    assert columns[:, 0].tolist() == [7, 39]


def test_rows_that_are_not_numbers_keep_their_length():
    scores = torch.full((1, 40), torch.nan)
    values, columns = largest(scores, 3)
    assert values.isnan().all()
    assert columns.shape == (1, 3)


def test_a_slice_of_a_larger_table_is_read_rightly():
    scores = torch.arange(60.0).reshape(2, 30)[:, 5:25]
    assert largest(scores, 1)[1].tolist() == [[19], [19]]


def test_no_rows_have_no_largest():
    values, columns = largest(torch.zeros(0, 40), 3)
    assert values.shape == columns.shape == (0, 3)


def test_it_takes_no_gradient():
    scores = torch.randn(2, 5, requires_grad=True)
    assert not largest(scores, 2)[0].requires_grad

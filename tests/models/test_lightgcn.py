"""LightGCN smooths as the paper does, reads histories backwards only, and is the same model without its graph."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.config import parse
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.models.lightgcn import ItemGraph, LightGCN, LightGCNSettings
from distilrec.models.tables import ContentTable
from distilrec.types import Batch, Ragged

# four users, one of them without events; item 5 was never used, and the first user came back to item 0
SEQUENCES = Ragged.of([[0, 1, 0], [], [1, 2, 3, 4], [4, 0]])
N_ITEMS, N_USERS = 6, 4
SHAPE = LightGCNSettings(width=3, layers=2, max_length=5, half_life=None, projection=False)


def make(sequences=SEQUENCES, table=None, **settings):
    torch.manual_seed(0)
    model = LightGCN(SHAPE.with_changes(**settings), sequences, n_items=N_ITEMS, table=table)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.eval()


def user_by_item():
    """Each edge divided by the root of its two ends' numbers of edges, [users, N]."""
    used = torch.zeros(N_USERS, N_ITEMS)
    for user, items in enumerate(SEQUENCES):
        used[user, items] = 1
    return used / used.sum(1, keepdim=True).clamp(min=1).sqrt() / used.sum(0).clamp(min=1).sqrt()


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors())


def test_two_items_of_one_user_are_smoothed_into_their_mean():
    # one user has both: 1 / root(2 edges of the user x 1 of the item) there and back is 1 / 2 of each
    graph = ItemGraph(Ragged.of([[0, 1]]), n_items=2)
    assert graph(torch.tensor([[2.0], [4.0]])).tolist() == pytest.approx(np.array([[3.0], [3.0]]))


def test_a_round_is_two_layers_of_the_paper_with_users_that_start_at_zero():
    edges = user_by_item()
    whole = torch.zeros(N_USERS + N_ITEMS, N_USERS + N_ITEMS)  # equation 8, users first
    whole[:N_USERS, N_USERS:], whole[N_USERS:, :N_USERS] = edges, edges.T
    table = torch.randn(N_ITEMS, 3)
    layer = torch.cat([torch.zeros(N_USERS, 3), table])
    for _ in range(2):
        layer = whole @ layer
    torch.testing.assert_close(ItemGraph(SEQUENCES, N_ITEMS)(table), layer[N_USERS:])


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_an_items_vector_is_the_mean_of_all_rounds(layers):
    model, matrix = make(layers=layers), user_by_item().T @ user_by_item()
    rounds = [torch.linalg.matrix_power(matrix, k) @ model.table.weight for k in range(layers + 1)]
    torch.testing.assert_close(model.item_vectors(), torch.stack(rounds).mean(dim=0))


def test_an_item_that_nobody_used_has_only_its_own_vector():
    model = make(layers=1)
    torch.testing.assert_close(model.item_vectors()[5], model.table.weight[5] / 2)


def test_an_item_used_twice_by_a_user_is_one_edge():
    assert len(ItemGraph(SEQUENCES, N_ITEMS).items) == 2 + 4 + 2


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_gradients_are_those_of_the_dense_matrices(share):
    graph = ItemGraph(SEQUENCES, N_ITEMS)
    torch.manual_seed(0)
    kept = graph.drop_edges(share)
    table = torch.randn(N_ITEMS, 3, requires_grad=True)
    slopes = torch.randn(N_ITEMS, 3)
    (graph(graph(table, kept), kept) * slopes).sum().backward()

    edges = user_by_item()
    if kept is not None:  # edges come user after user, item after item, as nonzero gives them
        edges = edges.index_put(tuple(edges.nonzero().T), edges[edges > 0] * kept)
    matrix = edges.T @ edges
    torch.testing.assert_close(table.grad, matrix @ matrix @ slopes)


def test_dropped_edges_are_missing_and_the_others_make_up_for_them():
    graph = ItemGraph(Ragged.of([list(range(100))] * 50), n_items=100)
    torch.manual_seed(0)
    kept = graph.drop_edges(0.25)
    assert sorted(set(kept.tolist())) == pytest.approx([0, 4 / 3])
    assert kept.mean() == pytest.approx(1, abs=0.03)


def test_edges_are_dropped_anew_in_each_training_step_and_never_when_ranking():
    model = make(edge_dropout=0.5)
    torch.testing.assert_close(model.item_vectors(), make().item_vectors())
    model.train()
    torch.manual_seed(0)
    first, second = model.item_vectors(), model.item_vectors()
    assert (first - second).abs().max() > 0.01


def test_a_history_is_the_mean_of_its_items_up_to_each_position():
    model = make()
    items = model.item_vectors().detach()
    wanted = torch.stack([items[4], (items[4] + items[1]) / 2, (items[4] + items[1] + items[1]) / 3])
    torch.testing.assert_close(vectors(model, [4, 1, 1])[0], wanted)


def test_with_a_half_life_of_one_each_older_item_counts_half():
    model = make(half_life=1)
    items = model.item_vectors().detach()
    wanted = (4 * items[2] + 2 * items[1] + items[0]) / 7
    torch.testing.assert_close(vectors(model, [0, 1, 2])[0, -1], wanted)


def test_a_half_life_stays_finite_over_long_histories():
    model = make(half_life=0.01, max_length=300)
    assert torch.isfinite(vectors(model, [0, 1] * 150)).all()


def test_a_projection_is_learnt_and_begins_as_no_projection():
    model = LightGCN(SHAPE.with_changes(projection=True), SEQUENCES, n_items=N_ITEMS).eval()
    histories, items = model(Batch.of([[4]]))
    torch.testing.assert_close(histories[0], items[4])
    histories.sum().backward()
    assert model.projection.weight.grad.abs().max() > 0


def test_a_projection_tells_what_follows_from_what_comes_before():
    scores = make(projection=True).scores(Batch.of([[1], [2]]))
    assert abs(scores[0, 2] - scores[1, 1]) > 0.1
    scores = make().scores(Batch.of([[1], [2]]))
    assert scores[0, 2] == pytest.approx(scores[1, 1])


def test_what_stands_in_the_padding_does_not_matter():
    model, batch = make(), Batch.of([[1, 2], [3, 4, 5]])
    dirty = Batch(np.where(batch.mask, batch.items, 5), batch.lengths)
    np.testing.assert_array_equal(model.scores(batch), model.scores(dirty))


def test_a_long_history_scores_as_its_newest_items_do():
    model = make()
    whole, cut = [5, 5, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0]
    np.testing.assert_array_equal(model.scores(Batch.of([whole])), model.scores(Batch.of([cut])))


def test_in_a_longer_batch_each_position_reads_the_newest_items_alone():
    """So it teaches windows longer than it reads itself."""
    model = make(max_length=2, half_life=1)
    whole = vectors(model, [0, 1, 2, 3])[0]
    for end in range(1, 5):
        torch.testing.assert_close(whole[end - 1], vectors(model, [0, 1, 2, 3][max(0, end - 2) : end])[0, -1])


def test_it_gives_the_vectors_of_the_real_positions_and_of_all_items():
    model = make()
    histories, items = model(Batch.of([[1, 2], [3]]))
    assert (tuple(histories.shape), tuple(items.shape)) == ((3, 3), (N_ITEMS, 3))
    torch.testing.assert_close(histories[2], items[3])


def test_scores_are_products_and_leave_the_model_in_the_mode_it_was_in():
    model = make(embedding_dropout=0.9).train()
    scores = model.scores(Batch.of([[3]]))
    assert model.training
    items = model.eval().item_vectors().detach()
    assert scores[0] == pytest.approx((items @ items[3]).numpy(), rel=1e-5)


def test_units_of_the_history_are_dropped_while_training():
    model = make(embedding_dropout=0.5).train()
    torch.manual_seed(0)
    assert (vectors(model, [1] * 5) == 0).any()
    assert not (vectors(model.eval(), [1] * 5) == 0).any()


def test_a_table_of_content_vectors_is_smoothed_too_even_in_bfloat16():
    model = make(table=ContentTable(np.eye(N_ITEMS, dtype=np.float32), 3))
    exact = model.item_vectors()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.item_vectors()
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)
    assert model.n_parameters == 2 * N_ITEMS * 3


@pytest.mark.parametrize("projection", [True, False])
def test_folded_it_scores_the_same_and_needs_no_graph(projection):
    model, batch = make(half_life=2, projection=projection, edge_dropout=0.5), Batch.of([[1, 2], [4]])
    folded = model.train().fold()  # no edge is dropped, though it was training
    assert folded.graph is None
    assert set(folded.state()) == {"table.weight"} | ({"projection.weight"} if projection else set())
    np.testing.assert_array_equal(folded.scores(batch), model.scores(batch))
    np.testing.assert_array_equal(folded.fold().scores(batch), model.scores(batch))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "the weights lack table.weight, the item table"),
        ({"table.weight": np.zeros(3)}, r"table.weight: expected \(3, 3\), got \(3,\)"),
        ({"table.weight": np.zeros((6, 4))}, r"table.weight: expected \(6, 3\), got \(6, 4\)"),
        ({"table.weight": np.full((6, 3), np.nan)}, "the weights hold NaN or infinity in table.weight"),
    ],
)
def test_damaged_state_is_refused(state, message):
    with pytest.raises(ArtifactError, match=message):
        LightGCN.from_state(SHAPE, state)


def test_state_without_the_projection_that_the_settings_want_is_refused():
    state = {"table.weight": np.zeros((6, 3))}
    with pytest.raises(ArtifactError, match=r"projection.weight: expected \(3, 3\), got None"):
        LightGCN.from_state(SHAPE.with_changes(projection=True), state)


def test_a_graph_without_edges_or_of_other_items_is_refused():
    with pytest.raises(DataError, match="there are no interactions to learn from"):
        make(Ragged.of([[], []]))
    with pytest.raises(DataError, match="item 6 is outside the catalogue of 6 items"):
        make(Ragged.of([[0, 6]]))


def test_items_outside_the_catalogue_are_refused():
    with pytest.raises(DataError, match=r"item 7 is outside the catalogue of 6 items \(rows 0 to 5\)"):
        make()(Batch.of([[7]]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layer": 2}, "unknown setting 'layer'; did you mean 'layers'"),
        ({"edge_dropout": 1}, "edge_dropout: Input should be less than 1"),
        ({"half_life": 0}, "half_life: Input should be greater than 0"),
        ({"layers": -1}, "layers: Input should be greater than or equal to 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(LightGCNSettings, values)

"""A control: what the teacher said, given to other windows, so that nothing can be learnt from it."""

import numpy as np
import pytest

from distilrec.errors import KnowledgeError
from distilrec.knowledge import Column, FactorPart, Knowledge, KnowledgeWriter, ListPart
from distilrec.knowledge.shuffled import ShuffledKnowledge, others_of_same_length
from distilrec.knowledge.table_only import TableOnly
from distilrec.types import Batch

LENGTHS = np.array([2, 1, 2, 1, 2, 3])  # the last is alone of its length
FIRST = np.cumsum(LENGTHS) - LENGTHS  # 0 2 3 5 6 8: the first position of each window


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory):
    """Position p's history vector is [p], its hidden state [10 p]; item i's vector is [i]."""
    columns = [Column("history_vectors", (1,), "float32"), Column("hidden.body", (1,), "float32")]
    folder = tmp_path_factory.mktemp("knowledge")
    about = {"windows_digest": "these windows"}
    writer = KnowledgeWriter(folder, about=about, positions=LENGTHS, columns=columns, windows_per_shard=4)
    for number, rows in writer.missing():
        positions = np.concatenate([FIRST[row] + np.arange(LENGTHS[row]) for row in rows])[:, None]
        arrays = {"history_vectors": positions, "hidden.body": 10 * positions}
        writer.write_shard(number, {name: array.astype(np.float32) for name, array in arrays.items()})
    writer.write_table("item_vectors", np.arange(8, dtype=np.float32)[:, None])
    return writer.finish([FactorPart()], n_items=8, kinds=["soft_labels"])


def batch(*rows):
    lengths = LENGTHS[list(rows)]
    return Batch(np.zeros((len(rows), lengths.max()), dtype=np.int64), lengths, rows=np.array(rows))


def said_of(source, row):
    return source.soft_labels(batch(row))[0].history_vectors.ravel().tolist()


def test_every_window_is_given_the_rows_of_another_one_of_its_length(knowledge):
    shuffled = ShuffledKnowledge(knowledge, seed=0)
    for alike in ([0, 2, 4], [1, 3]):
        own = [said_of(knowledge, row) for row in alike]
        given = [said_of(shuffled, row) for row in alike]
        assert sorted(given) == sorted(own)
        assert all(theirs != ours for theirs, ours in zip(given, own, strict=True))


def test_a_window_that_is_alone_of_its_length_keeps_its_rows_and_is_counted(knowledge):
    shuffled = ShuffledKnowledge(knowledge, seed=0)
    assert said_of(shuffled, 5) == said_of(knowledge, 5) == [8, 9, 10]
    assert shuffled.n_unmoved == 1


def test_all_that_the_teacher_gives_of_a_window_moves_together(knowledge):
    shuffled = ShuffledKnowledge(knowledge, seed=0)
    hidden = shuffled.column("hidden.body", batch(0, 3)).ravel()
    assert hidden.tolist() == [10 * value for value in said_of(shuffled, 0) + said_of(shuffled, 3)]
    assert (shuffled.columns, shuffled.column_width("hidden.body")) == (knowledge.columns, 1)
    assert shuffled.lists(batch(0)) is None
    assert shuffled.user_vectors() is None


def test_soft_labels_keep_their_items_and_a_student_would_start_from_other_items_vectors(knowledge):
    shuffled = ShuffledKnowledge(knowledge, seed=0)
    assert shuffled.soft_labels(batch(0))[0].item_vectors.ravel().tolist() == list(range(8))
    table = shuffled.item_vectors().ravel().tolist()
    assert sorted(table) == list(range(8))
    assert table != list(range(8))
    assert shuffled.item_vectors().ravel().tolist() == table  # whenever it is asked


def test_the_seed_decides_and_the_digest_tells(knowledge):
    """Or a training that was killed would go on with another shuffle."""
    digests = [source.digest() for source in (knowledge, *(ShuffledKnowledge(knowledge, seed=s) for s in (0, 0, 1)))]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3
    many = np.ones(100, dtype=np.int64)
    first, second = (others_of_same_length(many, np.random.default_rng(seed)) for seed in (0, 1))
    assert sorted(first) == list(range(100))
    assert not (first == np.arange(100)).any()
    assert (first != second).any()


def test_it_belongs_where_the_knowledge_belongs(knowledge):
    for source in (ShuffledKnowledge(knowledge, seed=0), TableOnly(knowledge)):
        source.check_belongs(windows_digest="these windows", n_items=8)
        with pytest.raises(KnowledgeError, match="was extracted from other training windows"):
            source.check_belongs(windows_digest="others", n_items=8)


def test_of_a_silent_teacher_only_the_table_is_known(knowledge):
    silent = TableOnly(knowledge)
    assert silent.item_vectors().ravel().tolist() == list(range(8))
    assert silent.soft_labels(batch(0, 1)) == []
    assert (silent.lists(batch(0)), silent.user_vectors(), list(silent.columns)) == (None, None, [])
    assert silent.digest() != knowledge.digest()
    for ask in (silent.column_width, lambda name: silent.column(name, batch(0))):
        with pytest.raises(KnowledgeError, match=r"only the teacher's item table is given, and no column hidden\.body"):
            ask("hidden.body")


def test_a_knowledge_folder_is_opened_as_it_was_before(knowledge):
    """Shuffling changes nothing on disk."""
    ShuffledKnowledge(knowledge, seed=0)
    assert said_of(Knowledge.open(knowledge.folder), 0) == [0, 1]


def test_a_tail_would_be_right_for_every_window_so_shuffled_lists_have_an_even_one(tmp_path):
    writer = KnowledgeWriter(tmp_path, about={}, positions=LENGTHS, columns=ListPart().columns(1, 8))
    for number, rows in writer.missing():
        n_rows = int(LENGTHS[rows].sum())
        arrays = np.zeros((n_rows, 1), np.int64), np.full((n_rows, 1), -1, np.float32), np.zeros(n_rows, np.float32)
        writer.write_shard(number, dict(zip(ListPart().names, arrays, strict=True)))
    writer.write_table("tail", np.arange(8, dtype=np.float32))
    lists = writer.finish([ListPart()], n_items=8, kinds=["soft_labels"])
    shuffled = ShuffledKnowledge(lists, seed=0)
    assert lists.soft_labels(batch(0))[0].tail is lists.lists(batch(0)).tail is not None
    assert shuffled.soft_labels(batch(0))[0].tail is shuffled.lists(batch(0)).tail is None

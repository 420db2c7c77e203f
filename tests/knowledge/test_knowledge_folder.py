"""A finished folder gives back what was written; anything altered, damaged or foreign is refused in words."""

import json

import numpy as np
import pytest
from small_knowledge import (
    ITEMS,
    POSITIONS,
    ROWS,
    SHARDS,
    VECTORS,
    fill,
    finish,
    rows_of,
    windows_batch,
    write,
    writer,
)

from distilrec.errors import KnowledgeError
from distilrec.files import read_json, write_json
from distilrec.knowledge import Column, FactorPart, Knowledge, ListPart
from distilrec.knowledge.show import describe_knowledge
from distilrec.types import Batch

ALL = windows_batch(0, 1, 2, 3, 4)
FILES = [*SHARDS, "item_vectors.npy", "positions.npy"]


def test_soft_labels_are_the_vectors_that_were_written(folder):
    found = Knowledge.open(folder)
    (labels,) = found.soft_labels(ALL)
    np.testing.assert_array_equal(labels.history_vectors, ROWS)
    np.testing.assert_array_equal(labels.item_vectors, ITEMS)
    assert labels.item_vectors is found.item_vectors()  # the same array, so that it is moved to a device once
    assert labels.rows is None
    assert (found.n_items, found.n_windows) == (6, 5)
    assert found.verify() == []


def test_windows_come_in_the_order_they_are_asked_for(folder):
    """Windows 4, 0 and 2 have positions 7 and 8, 0 and 1, 3 to 5."""
    found = Knowledge.open(folder).column("history_vectors", windows_batch(4, 0, 2))
    np.testing.assert_array_equal(found, ROWS[[7, 8, 0, 1, 3, 4, 5]])


def test_no_windows_give_no_rows(folder):
    (labels,) = Knowledge.open(folder).soft_labels(windows_batch())
    assert labels.history_vectors.shape == (0, 4)


def write_columns(folder, columns, *, parts=(), tables=None, n_items=6):
    """`columns` maps a column to all its rows."""
    work = writer(folder, columns=list(columns))
    for number, windows in work.missing():
        work.write_shard(number, {c.name: rows_of(windows, array, c.per) for c, array in columns.items()})
    for name, table in (tables or {}).items():
        work.write_table(name, table)
    return work.finish(list(parts), n_items=n_items, kinds=[])


def test_a_column_with_a_row_for_each_window_is_read_back(tmp_path):
    column, rows = Column("user_vectors", (2,), "float32", per="window"), np.arange(10, dtype=np.float32).reshape(5, 2)
    found = write_columns(tmp_path, {column: rows})
    np.testing.assert_array_equal(found.column("user_vectors", windows_batch(3, 0)), rows[[3, 0]])


def test_a_column_with_a_row_for_each_pair_of_positions_is_read_back(tmp_path):
    """Windows of 2, 1, 3, 1 and 2 positions have 4, 1, 9, 1 and 4 pairs."""
    pairs = np.arange(19, dtype=np.float32)
    found = write_columns(tmp_path, {Column("attention", (), "float32", per="pair"): pairs})
    np.testing.assert_array_equal(found.column("attention", windows_batch(2)), pairs[5:14])
    np.testing.assert_array_equal(found.column("attention", windows_batch(4, 1)), pairs[[15, 16, 17, 18, 4]])


def test_several_columns_lie_side_by_side(tmp_path):
    found = write_columns(tmp_path, {VECTORS: ROWS, Column("twice", (4,), "float32"): 2 * ROWS})
    np.testing.assert_array_equal(
        found.column("twice", windows_batch(2)), 2 * found.column("history_vectors", windows_batch(2))
    )


def test_lists_are_read_back_with_their_log_sums(tmp_path):
    part = ListPart("best", weight=2.0)
    items = np.stack([np.arange(9) % 6, np.full(9, -1)], axis=1)
    logits = np.stack([np.arange(9) / 2, np.zeros(9)], axis=1)
    columns = dict(zip(part.columns(2, 6), (items, logits, np.arange(9) / 4), strict=True))
    (labels,) = write_columns(tmp_path, columns, parts=[part]).soft_labels(windows_batch(3, 0))
    assert labels.items.tolist() == [[0, -1], [0, -1], [1, -1]]  # positions 6, 0 and 1
    assert labels.items.dtype == np.int64
    assert labels.logits[:, 0].tolist() == [3, 0, 0.5]
    assert labels.log_sums.tolist() == [1.5, 0, 0.25]
    assert labels.weight == 2


def test_lists_have_the_tail_that_lies_beside_them_and_those_of_older_folders_an_even_one(tmp_path):
    """Each part its own, and the same array for every batch, so that it goes to a device once."""
    parts = [ListPart(), ListPart("top_1")]
    columns = {column: np.zeros((9, *column.shape)) for part in parts for column in part.columns(2, 6)}
    tail = np.arange(6, dtype=np.float32)
    found = write_columns(tmp_path, columns, parts=parts, tables={"tail_1": tail})
    evenly, tailed = found.soft_labels(windows_batch(3, 0))
    assert evenly.tail is None
    assert tailed.tail.tolist() == tail.tolist()
    assert tailed.tail is found.soft_labels(windows_batch(1))[1].tail
    lines = describe_knowledge(found)
    assert [line.split("), ")[1] for line in lines if "best items" in line] == [
        "the rest evenly, weight 1",
        "the rest as tail_1 has it, weight 1",
    ]


@pytest.mark.parametrize(("n_items", "kind"), [(32767, "int16"), (32768, "int32")])
def test_item_rows_are_kept_in_the_smallest_integers_that_hold_them(n_items, kind):
    items, logits, log_sums = ListPart().columns(100, n_items)
    assert [items.dtype, logits.dtype, log_sums.dtype] == [kind, "float16", "float32"]


def test_a_list_of_100_takes_at_most_700_bytes_a_position():
    bytes_of = {"int16": 2, "int32": 4, "float16": 2, "float32": 4}
    for n_items in (12_101, 1_000_000):
        columns = ListPart().columns(100, n_items)
        assert sum(int(np.prod(c.shape)) * bytes_of[c.dtype] for c in columns) <= 700


def test_each_fold_speaks_of_its_own_windows(tmp_path):
    """Windows 0, 2 and 4 are of fold 0, windows 1 and 3 of fold 1, which has its own items."""
    parts = [FactorPart(fold=0), FactorPart(table="item_vectors_1", fold=1, temperature=2.0)]
    tables = {"item_vectors": ITEMS, "item_vectors_1": 2 * ITEMS, "folds": np.array([0, 1, 0, 1, 0])}
    found = write_columns(tmp_path, {VECTORS: ROWS}, parts=parts, tables=tables)
    even, odd = found.soft_labels(windows_batch(1, 0, 3))  # positions 2, 0, 1 and 6
    assert (even.rows.tolist(), odd.rows.tolist()) == ([1, 2], [0, 3])
    np.testing.assert_array_equal(even.history_vectors, ROWS[[0, 1]])
    np.testing.assert_array_equal(odd.history_vectors, ROWS[[2, 6]])
    np.testing.assert_array_equal(odd.item_vectors, 2 * ITEMS)
    assert (even.temperature, odd.temperature) == (1, 2)
    assert len(found.soft_labels(windows_batch(0, 2))) == 1


def test_a_folder_without_item_vectors_has_none(tmp_path):
    assert write_columns(tmp_path, {VECTORS: ROWS}).item_vectors() is None


def test_item_vectors_may_come_without_soft_labels(tmp_path):
    found = write_columns(tmp_path, {}, tables={"item_vectors": ITEMS})
    np.testing.assert_array_equal(found.item_vectors(), ITEMS)
    assert found.soft_labels(ALL) == []


def test_what_a_folder_does_not_hold_is_named_with_what_it_does(folder):
    found = Knowledge.open(folder)
    with pytest.raises(KnowledgeError, match=r"holds no folds; it holds item_vectors, positions"):
        found.table("folds")
    with pytest.raises(KnowledgeError, match=r"holds no column attention; it holds history_vectors"):
        found.column("attention", ALL)


def test_the_digest_changes_with_anything_the_teacher_said(tmp_path, folder):
    first = Knowledge.open(folder).digest()
    assert first == write(tmp_path / "same").digest()
    other = {}
    for name, items, parts, rows in [
        ("items", ITEMS[::-1], [FactorPart()], ROWS),
        ("part", ITEMS, [FactorPart(temperature=2.0)], ROWS),
        ("rows", ITEMS, [FactorPart()], ROWS[::-1]),
    ]:
        tables = {"item_vectors": items.copy()}
        other[name] = write_columns(tmp_path / name, {VECTORS: rows}, parts=parts, tables=tables).digest()
    assert len({first, *other.values()}) == 4


@pytest.mark.parametrize("name", [*SHARDS, "item_vectors.npy"])
def test_verify_names_a_file_with_one_altered_byte(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    (problem,) = Knowledge.open(folder).verify()
    assert problem == f"{folder / name}: its SHA-256 is not the one in the manifest; the file was altered or damaged"


def test_lengths_that_were_altered_do_not_fit_the_shards(folder):
    np.save(folder / "positions.npy", np.array([3, 1, 3, 1, 2]))
    with pytest.raises(KnowledgeError, match=r"00000.npy has shape \(3, 4\); its manifest says \(4, 4\)"):
        Knowledge.open(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(KnowledgeError, match=rf"{name} is missing; extract the knowledge again"):
        Knowledge.open(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 40, -8])
def test_a_file_that_was_cut_off_is_refused(folder, name, kept):
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])
    with pytest.raises(KnowledgeError, match=r"is damaged \(.*\)\. Extract the knowledge again"):
        Knowledge.open(folder)


def test_a_shard_of_another_shape_is_refused(folder):
    np.save(folder / SHARDS[1], ROWS[:5])
    with pytest.raises(KnowledgeError, match=r"00001.npy has shape \(5, 4\); its manifest says \(4, 4\)\. Extract"):
        Knowledge.open(folder)


def test_a_table_of_another_shape_is_refused(folder):
    np.save(folder / "item_vectors.npy", ITEMS[:, :3])
    with pytest.raises(KnowledgeError, match=r"item_vectors has shape \(6, 3\); its manifest says \(6, 4\)\. Extract"):
        Knowledge.open(folder)


def test_a_folder_without_a_manifest_is_not_finished(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(KnowledgeError, match=r"holds no manifest.json; it is not a finished knowledge folder"):
        Knowledge.open(folder)


def change_manifest(folder, **changes):
    write_json(folder / "manifest.json", {**read_json(folder / "manifest.json"), **changes})


@pytest.mark.parametrize("key", ["shards", "columns", "parts", "tables", "windows"])
def test_a_manifest_that_lacks_something_is_refused(folder, key):
    manifest = read_json(folder / "manifest.json")
    del manifest[key]
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(KnowledgeError, match=rf"is damaged \('{key}'\)"):
        Knowledge.open(folder)


@pytest.mark.parametrize("version", [3, 0, None, "2"])
def test_another_format_version_is_refused(folder, version):
    change_manifest(folder, format_version=version)
    with pytest.raises(KnowledgeError, match=rf"has format version {version!r}; this DistilRec reads versions 1 to 2"):
        Knowledge.open(folder)


def test_knowledge_of_other_windows_or_another_catalogue_is_refused(folder):
    found = Knowledge.open(folder)
    found.check_belongs(windows_digest="w1", n_items=6)
    with pytest.raises(KnowledgeError, match=r"other training windows \(digest w1, these are w2\): other data"):
        found.check_belongs(windows_digest="w2", n_items=6)
    with pytest.raises(KnowledgeError, match="ranks 6 items; this catalogue has 7"):
        found.check_belongs(windows_digest="w1", n_items=7)
    found.check_catalogue("c1")
    with pytest.raises(KnowledgeError, match=r"of another catalogue \(digest c1, this one is c2\), so its rows are"):
        found.check_catalogue("c2")


def test_a_folder_that_does_not_name_its_catalogue_is_taken_at_its_word(tmp_path):
    """Those of earlier versions do not."""
    write(tmp_path, about={"windows_digest": "w1"}).check_catalogue("any")


@pytest.mark.parametrize("window", [5, -1])
def test_a_window_that_is_not_covered_is_refused(folder, window):
    batch = Batch(np.zeros((1, 1), np.int64), np.array([1]), rows=np.array([window]))
    with pytest.raises(KnowledgeError, match=rf"window {window} is not in .*, which covers 5 windows"):
        Knowledge.open(folder).soft_labels(batch)


def test_a_batch_of_unknown_windows_is_refused(folder):
    with pytest.raises(KnowledgeError, match="the batch does not say which training windows it holds; take it from"):
        Knowledge.open(folder).soft_labels(Batch.of([[1]]))


def test_nothing_in_the_folder_can_run_code(folder):
    """np.load refuses pickled objects, and the rest is JSON."""
    np.save(folder / "item_vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(KnowledgeError, match="is damaged"):
        Knowledge.open(folder)
    json.loads((folder / "manifest.json").read_text())


def test_the_size_is_that_of_all_arrays(folder):
    assert Knowledge.open(folder).size_bytes() == sum((folder / name).stat().st_size for name in FILES)


def test_a_folder_is_finished_again_without_being_written_again(folder):
    work = writer(folder)
    assert fill(work) == []
    assert finish(work).digest() == Knowledge.open(folder).digest()
    assert Knowledge.open(folder).table("positions").tolist() == POSITIONS.tolist()

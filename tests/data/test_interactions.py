import numpy as np
import polars as pl
import pytest

from distilrec.data.interactions import Interactions, build_interactions
from distilrec.errors import DataError


def build(*rows, columns=("user_id", "item_id", "timestamp"), **more):
    return build_interactions(pl.DataFrame(rows, schema=list(columns), orient="row"), **more)


@pytest.fixture
def small():
    """Users 2 and 10; 10 took b, then a; 2 took a."""
    items = pl.DataFrame({"item_id": ["a", "c"], "title": ["Apple", "Cherry"]})
    return build(("10", "b", 5), ("2", "a", 7), ("10", "a", 6), items=items)


def test_whole_numbers_become_numbers_in_order(small):
    assert small.users["user_id"].to_list() == [2, 10]


def test_ids_with_leading_zeros_stay_text():
    assert build(("0054890", "1", 0)).users["user_id"].to_list() == ["0054890"]


def test_numbers_beyond_64_bits_stay_text():
    assert build(("9" * 20, "1", 0)).users["user_id"].to_list() == ["9" * 20]


def test_events_are_sorted_by_user_then_time(small):
    assert [row.tolist() for row in small.sequences()] == [[0], [1, 0]]


def test_ties_in_time_keep_the_order_of_the_file():
    log = build(("1", "c", 5), ("1", "a", 5), ("1", "b", 4))
    assert log.items["item_id"][log.sequences()[0]].to_list() == ["b", "c", "a"]


def test_an_event_without_a_time_stays_behind_the_one_before_it():
    log = build(("1", "a", 9), ("1", "b", None), ("1", "c", 1))
    assert log.items["item_id"][log.sequences()[0]].to_list() == ["c", "a", "b"]


def test_an_order_sorts_and_is_not_a_time():
    log = build(("1", "a", 2.0), ("1", "b", 1.0), columns=("user_id", "item_id", "order"))
    assert log.sequences()[0].tolist() == [1, 0]
    assert log.events["timestamp"].null_count() == 2


def test_unused_items_of_the_catalogue_are_left_out_unless_kept(small):
    assert small.items["item_id"].to_list() == ["a", "b"]
    items = pl.DataFrame({"item_id": ["a", "c"]})
    assert build(("1", "a", 0), items=items, keep_unused_items=True).items["item_id"].to_list() == ["a", "c"]


def test_an_item_that_the_catalogue_lacks_has_no_text(small):
    assert small.items["title"].to_list() == ["Apple", None]


@pytest.mark.parametrize("ids", [[10, 3], ["10", "3"], np.array([10, 3]), [10.0, 3.0], pl.Series(["10 ", "x"])])
def test_ids_are_found_as_numbers_or_as_text_and_unknown_ones_are_minus_one(small, ids):
    assert small.user_rows(ids).tolist() == [1, -1]


def test_item_rows_of_text_ids(small):
    assert small.item_rows(["b", "z", "a"]).tolist() == [1, -1, 0]


def test_with_events_numbers_what_is_left_anew(small):
    left = small.with_events(small.events.filter(pl.col("user") == 1).head(1))
    assert (left.users["user_id"].to_list(), left.items["item_id"].to_list()) == ([10], ["b"])
    assert left.sequences()[0].tolist() == [0]


def test_the_digest_tells_content_apart(small):
    heavier = Interactions(small.events.with_columns(weight=pl.lit(2.0, pl.Float32)), small.users, small.items)
    renamed = Interactions(small.events, small.users, small.items.with_columns(title=pl.lit("x")))
    assert len({small.digest(), heavier.digest(), renamed.digest()}) == 3
    assert heavier.catalogue_digest() == small.catalogue_digest() != renamed.catalogue_digest()


def test_saved_and_loaded_is_the_same(small, tmp_path):
    small.save(tmp_path / "data")
    loaded = Interactions.load(tmp_path / "data")
    assert loaded.digest() == small.digest()
    assert sorted(file.name for file in tmp_path.glob("*/*")) == [
        "data.json", "events.parquet", "items.parquet", "users.parquet",
    ]  # fmt: skip


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is not a whole folder of saved interactions: .* does not exist"):
        Interactions.load(tmp_path / "nowhere")


def test_a_damaged_file_is_refused(small, tmp_path):
    small.save(tmp_path)
    (tmp_path / "items.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"not a whole folder of saved interactions.*Read the data again"):
        Interactions.load(tmp_path)


def test_a_changed_file_is_refused(small, tmp_path):
    small.save(tmp_path)
    small.users.reverse().write_parquet(tmp_path / "users.parquet")
    with pytest.raises(DataError, match=r"was changed since it was saved: its content does not match data\.json"):
        Interactions.load(tmp_path)


def test_another_version_is_refused(small, tmp_path):
    small.save(tmp_path)
    text = (tmp_path / "data.json").read_text().replace('"version": 1', '"version": 9')
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(DataError, match="has version 9; this DistilRec reads version 1"):
        Interactions.load(tmp_path)

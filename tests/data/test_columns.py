import pytest

from distilrec.data.columns import map_columns, without_type
from distilrec.errors import DataError


def mapped(*names, role="log", given=None):
    return map_columns(names, role, where="log.csv", given=given)


@pytest.mark.parametrize("name", ["user_id", "userId", "USER ID", "uid", "Customer ID", "reviewerID", "user_id:token"])
def test_a_user_column_is_known_whatever_its_case_and_spaces(name):
    assert mapped(name, "item_id")["user_id"] == name


@pytest.mark.parametrize("name", ["item", "movie_id", "asin", "StockCode", "artistID", "product_id", "track_id"])
def test_an_item_column_is_known_by_the_names_of_common_data_sets(name):
    assert mapped("user", name)["item_id"] == name


@pytest.mark.parametrize(("name", "canonical"), [
    ("stars", "weight"), ("cnt", "weight"), ("Quantity", "weight"), ("ts", "timestamp"), ("InvoiceDate", "timestamp"),
    ("unixReviewTime", "timestamp"), ("position", "order"),
])  # fmt: skip
def test_weights_and_times_are_known(name, canonical):
    assert mapped("user", "item", name)[canonical] == name


def test_a_session_is_the_user_only_where_there_is_no_user():
    assert mapped("session_id", "item")["user_id"] == "session_id"
    assert mapped("session_id", "user", "item")["user_id"] == "user"


def test_an_order_counts_only_where_there_is_no_time():
    assert "order" not in mapped("user", "item", "position", "timestamp")


def test_a_given_name_wins_over_an_alias():
    assert mapped("user", "who", "item", given={"user_id": "who"})["user_id"] == "who"


def test_two_candidates_are_refused_with_the_way_to_choose():
    with pytest.raises(DataError) as error:
        mapped("user", "item", "rating", "count")
    assert "log.csv: the columns 'rating' and 'count' can each be weight" in str(error.value)
    assert "columns={'weight': 'rating'}" in str(error.value)


def test_two_candidates_are_no_trouble_when_one_is_given():
    assert mapped("user", "item", "rating", "count", given={"weight": "count"})["weight"] == "count"


def test_a_missing_column_is_named_with_those_that_were_found():
    with pytest.raises(DataError) as error:
        mapped("user", "colour")
    assert "log.csv has no column for item_id; its columns are 'user', 'colour'" in str(error.value)
    assert "columns={'item_id': 'its name'}" in str(error.value)


@pytest.mark.parametrize(("names", "title"), [
    (["item", "name", "description"], "name"),
    (["item", "Description"], "Description"),
    (["item", "movie_title", "name"], "movie_title"),
])  # fmt: skip
def test_a_catalogue_has_the_best_of_its_columns_as_title(names, title):
    assert mapped(*names, role="catalogue")["title"] == title


def test_a_bare_id_is_the_item_in_a_catalogue_and_nothing_in_a_log():
    assert mapped("id", "name", role="catalogue")["item_id"] == "id"
    with pytest.raises(DataError, match="no column for item_id"):
        mapped("user", "id")


def test_the_types_of_recbole_are_dropped():
    assert [without_type(name) for name in ("a:token", "b:float_seq", "c:d")] == ["a", "b", "c:d"]

"""Every message says which file and row, what was expected, what came, and what to do."""

import json

import pandas as pd
import polars as pl
import pytest

from distilrec.data.read import read
from distilrec.errors import DataError, MissingExtraError, SettingsError


def refused(source, **options):
    with pytest.raises(DataError) as error:
        read(source, **options)
    return str(error.value)


@pytest.fixture
def log(tmp_path):
    def write(text, name="log.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_a_missing_file(tmp_path):
    assert f"{tmp_path}/none.csv does not exist; expected a file or a folder" in refused(tmp_path / "none.csv")


def test_a_missing_catalogue(log, tmp_path):
    assert "none.csv does not exist" in refused(log("user,item\n1,2\n"), items=tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file(log, text):
    assert "log.csv is empty; expected at least one row" in refused(log(text))


def test_a_header_alone(log):
    assert "log.csv has the columns user, item but no rows" in refused(log("user,item\n"))


def test_an_empty_frame():
    assert "the polars frame of the log is empty; expected at least one row" in refused(pl.DataFrame())


def test_a_separator_that_is_not_there(log):
    message = refused(log("user\titem\n1\t2\n"), separator=",")
    assert "log.csv: separator ',' does not occur in the first line" in message
    assert "it looks separated by tab: separator='\\t'" in message


def test_no_separator_at_all(log):
    message = refused(log("user item\n1 2\n"))
    assert "log.csv: its first line, 'user item', is a single column" in message
    assert "tab, comma, semicolon, |, ::. Give separator=..., as in separator=' '" in message


def test_a_given_separator_leaves_nothing_else_to_leave_out(log):
    assert "does not occur in the first line, 'user item'; leave it out" in refused(
        log("user item\n1 2\n"), separator=","
    )


def test_columns_that_were_not_parted(log):
    message = refused(log("user;item;a,b,c,d\n1;2;3,4,5,6\n"))
    assert "'user;item;a' looks like several; give separator=..." in message


def test_a_file_without_a_header(log):
    assert "its columns are '1', '2'" in refused(log("1,2\n1,3\n"))
    assert "if it has no header line, add one" in refused(log("1,2\n1,3\n"))


def test_a_quote_that_is_not_closed(log):
    message = refused(log('user,item,title\n1,2,"a\n3,4,x\n'))
    assert "log.csv: a field opens with a quote and does not close it, or holds a quote that is not doubled" in message


def test_a_row_with_too_many_columns(log):
    message = refused(log("user,item\n1,2\n1,2,3\n"))
    assert "log.csv, line 3: 3 columns; expected 2, as in the first line" in message
    assert "Put quotes around a field that holds ','" in message


def test_a_row_with_too_many_double_colons(log):
    message = refused(log("1::2::3::4\n1::2\n", "ratings.dat"))
    assert "ratings.dat, line 2: 2 columns between '::'; expected 4" in message


def test_two_columns_of_one_name(log):
    assert "log.csv: two columns are named 'item'" in refused(log("user,item,item\n1,2,3\n"))


def test_too_many_columns_without_a_header(log):
    message = refused(log("1\t2\t3\t4\t5\n", "u.data"))
    assert "u.data has 5 columns and no header; expected user_id, item_id, rating, timestamp" in message


def test_a_table_that_looks_like_sequences(log):
    message = refused(log("1 5 3\n1 6 4\n", "log.txt"))
    assert "log.txt: every line has 3 words and users come back" in message
    assert "Add a header line and give separator=' '" in message


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"user,item\n1\x00,2\n")
    assert "log.csv is neither UTF-8 nor latin-1 text. Save it as UTF-8, or as Parquet" in refused(tmp_path / "log.csv")


def test_a_damaged_parquet_file(log):
    assert "log.parquet is not a Parquet file that can be read" in refused(log("user,item", "log.parquet"))


def test_a_json_array(log):
    message = refused(log('[{"user": 1, "item": 2}]', "log.json"))
    assert "log.json is one JSON array; expected JSON lines, one object a line" in message


@pytest.mark.parametrize(("line", "said"), [("{user: 1}", "is not JSON"), ("[1, 2]", "is not an object")])
def test_a_line_that_is_no_json_object(log, line, said):
    message = refused(log('{"user": 1, "item": 2}\n' + line + "\n", "log.jsonl"))
    assert f"log.jsonl, line 2: {line!r} {said}" in message


def test_a_missing_column(log):
    message = refused(log("user,colour\n1,2\n"))
    assert "log.csv has no column for item_id; its columns are 'user', 'colour'" in message


def test_a_given_column_that_is_nowhere(log):
    message = refused(log("user,item\n1,2\n"), columns={"weight": "joy"})
    assert "there is no column 'joy'" in message
    assert "log.csv has 'user', 'item'" in message


def test_one_column_given_twice(log):
    message = refused(log("user,item\n1,2\n"), columns={"user_id": "item", "item_id": "item"})
    assert "'item' is given for both user_id and item_id; choose one" in message


def test_a_given_column_for_something_unknown(log):
    message = refused(log("user,item\n1,2\n"), columns={"colour": "item"})
    assert "'colour' is not a column that DistilRec knows. Expected one of user_id, item_id" in message


@pytest.mark.parametrize("nothing", ["", "NaN", "null", "None", " "])
def test_a_missing_id(log, nothing):
    path = log(f"user,item\n1,2\n{nothing},3\n")
    message = refused(path)
    assert "log.csv: rows without a user or an item: 1 (first: line 3 has no user)" in message
    assert 'Correct them, or leave these rows out with missing_ids="drop"' in message
    assert read(path, missing_ids="drop")[0].events.height == 1


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_a_nan_id_of_a_frame(make):
    frame = make({"user": [1.0, float("nan")], "item": ["a", "b"]})
    assert "rows without a user or an item: 1 (first: row 1 (from 0) has no user)" in refused(frame)
    assert read(frame, missing_ids="drop")[0].users["user_id"].to_list() == [1]


def test_nothing_left_after_leaving_rows_out(log):
    message = refused(log("user,item\n,2\n"), missing_ids="drop")
    assert "log.csv: no row is left (rows without a user or an item: 1)" in message


def test_a_fraction_as_an_id():
    message = refused(pl.DataFrame({"user": [1.0, 1.5], "item": [1, 2]}))
    assert "row 1 (from 0): user is 1.5; ids must be whole numbers or text" in message


def test_lists_as_ids():
    assert "item holds List(Int64); ids must be" in refused(pl.DataFrame({"user": [1], "item": [[1, 2]]}))


def test_mixed_ids_of_json_lines(log):
    path = log("\n".join(json.dumps({"user": user, "item": "x"}) for user in (1, "1", 2)), "log.jsonl")
    message = refused(path)
    assert "log.jsonl: user mixes numbers and texts: 1 (first: line 1 has the number 1, line 2 the text '1')" in message
    assert 'Make them one kind, or read all as text with mixed_ids="text"' in message
    assert read(path, mixed_ids="text")[0].users["user_id"].to_list() == [1, 2]


def test_numbers_in_text_are_not_mixed_ids(log):
    path = log('{"user": "1", "item": "x"}\n{"user": "b", "item": "{\\"user\\": 1}"}\n', "log.jsonl")
    assert read(path)[0].n_users == 2


def test_mixed_ids_of_a_pandas_frame():
    frame = pd.DataFrame({"user": pd.Series([1, "1", None], dtype=object), "item": ["a", "b", "c"]})
    message = refused(frame)
    assert "user mixes numbers and texts: 1 (first: row 0 (from 0) has the number 1, row 1 the text '1')" in message
    assert read(frame, mixed_ids="text", missing_ids="drop")[0].n_users == 1


@pytest.mark.parametrize("time", ["-5", "9999999999", "soon"])
def test_an_impossible_time(log, time):
    path = log(f"user,item,timestamp\n1,2,{time}\n1,3,5\n")
    message = refused(path)
    assert "times in timestamp that cannot be (expected unix time, or ISO dates" in message
    assert f"line 2: timestamp is '{time}'" in message
    assert 'leave these rows out with bad_times="drop" or keep them without a time with bad_times="blank"' in message
    assert read(path, bad_times="drop")[0].events["timestamp"].to_list() == [5]
    assert read(path, bad_times="blank")[0].events["timestamp"].to_list() == [None, 5]


def test_text_in_a_number_column(log):
    path = log("user,item,rating\n1,2,good\n1,3,5\n1,4,\n")
    message = refused(path)
    assert "text in the number column rating: 1 (first: line 2: rating is 'good')" in message
    assert 'bad_weights="drop"' in message
    assert read(path, bad_weights="drop")[0].events["weight"].to_list() == [5, 1]  # nothing said counts as 1


def test_an_order_that_is_no_number(log):
    message = refused(log("user,item,position\n1,2,first\n"))
    assert "line 2: position is 'first'; it is read as the order" in message


def test_all_problems_are_told_at_once(log):
    message = refused(log("user,item,rating\n,2,5\n1,2,x\n"))
    assert "missing_ids" in message
    assert "bad_weights" in message


def test_an_unknown_choice(log):
    with pytest.raises(SettingsError, match="missing_ids: Input should be 'refuse' or 'drop'"):
        read(log("user,item\n1,2\n"), missing_ids="ignore")


def test_pandas_without_pyarrow(monkeypatch):
    def absent(series):
        raise ImportError("pyarrow")

    monkeypatch.setattr(pl, "from_pandas", absent)
    with pytest.raises(MissingExtraError, match=r"pyarrow is not installed\. Run: pip install 'distilrec\[frames\]'"):
        read(pd.DataFrame({"user": [1], "item": [2]}))

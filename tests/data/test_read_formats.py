"""Each format holds the same three events: ann takes 1 then 2, bob takes 2."""

import pandas as pd
import polars as pl
import pytest

from distilrec.data.read import read

EVENTS = [("ann", "1", 5.0, 100), ("ann", "2", 3.0, 200), ("bob", "2", 4.0, 150)]
FRAME = pl.DataFrame(EVENTS, schema=["user", "item", "rating", "timestamp"], orient="row")


def rows(interactions):
    joined = interactions.events.with_columns(
        user=pl.Series(interactions.users["user_id"]).gather(interactions.events["user"]),
        item=pl.Series(interactions.items["item_id"]).gather(interactions.events["item"]),
    )
    return joined.select("user", "item", "weight", "timestamp").rows()


EXPECTED = [("ann", 1, 5.0, 100), ("ann", 2, 3.0, 200), ("bob", 2, 4.0, 150)]


def lines(separator, header=True):
    head = [separator.join(["user", "item", "rating", "timestamp"])] if header else []
    return "\n".join([*head, *(separator.join(map(str, row)) for row in EVENTS)]) + "\n"


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_the_separator_is_found(tmp_path, separator):
    (tmp_path / "log.csv").write_text(lines(separator))
    assert rows(read(tmp_path / "log.csv")[0]) == EXPECTED


def test_a_given_separator_is_used(tmp_path):
    (tmp_path / "log.csv").write_text(lines(" "))
    assert rows(read(tmp_path / "log.csv", separator=" ")[0]) == EXPECTED


def test_movielens_files_without_header_are_known_by_name(tmp_path):
    (tmp_path / "ratings.dat").write_text(lines("::", header=False))
    (tmp_path / "u.data").write_text(lines("\t", header=False))
    assert rows(read(tmp_path / "ratings.dat")[0]) == rows(read(tmp_path / "u.data")[0]) == EXPECTED


def test_parquet(tmp_path):
    FRAME.write_parquet(tmp_path / "log.parquet")
    assert rows(read(tmp_path / "log.parquet")[0]) == EXPECTED


def test_json_lines(tmp_path):
    FRAME.write_ndjson(tmp_path / "log.jsonl")
    assert rows(read(tmp_path / "log.jsonl")[0]) == EXPECTED


@pytest.mark.parametrize("frame", [FRAME, FRAME.lazy(), FRAME.to_pandas(), FRAME.to_arrow(),
                                   FRAME.to_pandas().astype({"user": object})])  # fmt: skip
def test_frames_of_three_libraries(frame):
    assert rows(read(frame)[0]) == EXPECTED


def test_recbole_files_of_one_folder(tmp_path):
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (tmp_path / "small.inter").write_text(head + lines("\t", header=False))
    (tmp_path / "small.item").write_text(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tJaws\tSea\n2\tE.T.\t\n"
    )
    (tmp_path / "small.user").write_text("user_id:token\tage:token\nann\t30\n")
    interactions, report = read(tmp_path)
    assert rows(interactions) == EXPECTED
    assert interactions.items.columns == ["item_id", "title", "movie_title", "class"]
    assert interactions.items["title"].to_list() == ["Jaws", "E.T."]
    assert interactions.users.rows() == [("ann", "30"), ("bob", None)]
    assert report.formats["log"] == "RecBole text, separated by tab"


def test_sequence_files_give_items_in_order(tmp_path):
    (tmp_path / "sequential.txt").write_text("7 3 1 2\n8 2\n")
    interactions, report = read(tmp_path / "sequential.txt")
    assert [interactions.items["item_id"][row].to_list() for row in interactions.sequences()] == [[3, 1, 2], [2]]
    assert report.formats["log"] == "one sequence a line"


def test_sequence_files_of_one_event_a_line_join_each_users_lines(tmp_path):
    (tmp_path / "pairs.txt").write_text("7 3\n8 2\n7 1\n")
    interactions, _ = read(tmp_path / "pairs.txt")
    assert [interactions.items["item_id"][row].to_list() for row in interactions.sequences()] == [[3, 1], [2]]


def test_a_latin_1_catalogue_with_a_column_a_genre(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    flags = ["1" if genre in (3, 5) else "0" for genre in range(19)]
    (tmp_path / "u.item").write_bytes(("|".join(["1", "Caf\xe9", "1995", "", "url", *flags]) + "\n").encode("latin-1"))
    interactions, report = read(tmp_path)
    assert interactions.items.select("title", "genres").row(0) == ("Caf\xe9", "Animation, Comedy")
    assert "u.item is not UTF-8; read as latin-1" in report.notes


def test_the_genres_are_named_by_the_file_beside(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    (tmp_path / "u.genre").write_text("dull|0\nfunny|1\n\n")
    (tmp_path / "u.item").write_text("1|Jaws|1975||url|0|1\n")
    assert read(tmp_path)[0].items["genres"].to_list() == ["funny"]


def test_genres_with_bars_become_words(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1::5::0\n")
    (tmp_path / "movies.dat").write_text("1::Jaws::Sea|Horror\n")
    assert read(tmp_path)[0].items["genres"].to_list() == ["Sea, Horror"]


def test_quotes_around_fields_enclose_and_quotes_inside_stay(tmp_path):
    (tmp_path / "log.tsv").write_text("user\titem\n1\t1\n1\t2\n")
    (tmp_path / "items.tsv").write_text('id\tname\n1\t"Weird Al" Yankovic\n2\tx\n')
    assert read(tmp_path)[0].items["title"].to_list() == ['"Weird Al" Yankovic', "x"]
    (tmp_path / "items.tsv").write_text('id\tname\n1\t"a ""b"" c"\n2\tx\n')
    assert read(tmp_path)[0].items["title"].to_list() == ['a "b" c', "x"]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    (tmp_path / "log.csv").write_bytes("\ufeff".encode() + lines(",").replace("\n", "\r\n").encode())
    assert rows(read(tmp_path / "log.csv")[0]) == EXPECTED


def test_leading_zeros_are_kept_and_blanks_are_not(tmp_path):
    (tmp_path / "log.csv").write_text("user, item\n1, 007\n1, 7\n")
    assert read(tmp_path / "log.csv")[0].items["item_id"].to_list() == ["007", "7"]


def test_whole_floats_of_a_frame_are_integers():
    """pandas makes floats of a whole column with a gap in it."""
    interactions, report = read(pd.DataFrame({"user": [13085.0, None], "item": ["a", "b"]}), missing_ids="drop")
    assert interactions.users["user_id"].to_list() == [13085]
    assert "user holds whole numbers with a decimal point; read as integers" in report.notes


def test_without_a_catalogue_the_most_frequent_text_of_the_log_is_the_title():
    log = pl.DataFrame({"user": [1, 2, 3], "item": [9, 9, 9], "Description": ["lamp", "LAMP?", "lamp"]})
    assert read(log)[0].items["title"].to_list() == ["lamp"]


def test_milliseconds_order_events_within_a_second():
    log = pl.DataFrame({"user": [1, 1], "item": ["b", "a"], "ts": [1_700_000_000_900, 1_700_000_000_100]})
    interactions, report = read(log)
    assert interactions.sequences()[0].tolist() == [0, 1]
    assert interactions.events["timestamp"].to_list() == [1_700_000_000] * 2
    assert "ts is unix time in milliseconds" in report.notes


def test_a_position_gives_the_order(tmp_path):
    (tmp_path / "log.tsv").write_text("user\titem\tposition\n1\ta\t10\n1\tb\t9\n")
    interactions, report = read(tmp_path / "log.tsv")
    assert interactions.sequences()[0].tolist() == [1, 0]
    assert "position gives the order of each user's events" in report.notes


def test_the_report_says_what_was_chosen_and_left_out(tmp_path):
    (tmp_path / "log.csv").write_text("who,item,stars\n1,a,5\n,a,5\n\n")
    (tmp_path / "items.csv").write_text("sku,name\na,Apple\nb,Pear\n")
    _, report = read(tmp_path, columns={"user_id": "who"}, missing_ids="drop")
    text = "\n".join(report.lines())
    assert (
        f"log: {tmp_path}/log.csv (text, separated by comma); who -> user_id, item -> item_id, stars -> weight" in text
    )
    assert f"catalogue: {tmp_path}/items.csv (text, separated by comma); sku -> item_id, name -> title" in text
    assert "left out: 1 rows without a user or an item" in text
    assert "left out: 1 blank lines" in text
    assert "left out: 1 items of the catalogue that nobody used" in text


def test_items_and_users_may_be_frames_or_files_of_the_folder(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n1,a\n")
    (tmp_path / "extra.csv").write_text("item,title\na,Apple\n")
    users = pl.DataFrame({"user": [1], "city": ["Oslo"]})
    interactions, _ = read(tmp_path, items="extra.csv", users=users)
    assert (interactions.items["title"][0], interactions.users["city"][0]) == ("Apple", "Oslo")


def test_a_title_may_be_given(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n1,a\n")
    (tmp_path / "items.csv").write_text("item,title,short\na,Apple,A\n")
    assert read(tmp_path, columns={"title": "short"})[0].items["title"].to_list() == ["A"]


def test_unused_items_are_kept_when_asked_for(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n1,a\n")
    (tmp_path / "items.csv").write_text("item,title\na,Apple\nb,Pear\n")
    interactions, report = read(tmp_path, keep_unused_items=True)
    assert interactions.items["title"].to_list() == ["Apple", "Pear"]
    assert report.dropped == {}

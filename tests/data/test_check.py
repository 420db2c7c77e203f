import polars as pl
import pytest

from distilrec.data.check import check


@pytest.fixture
def log(tmp_path):
    def write(text, name="log.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def told(report):
    return "\n".join(report.lines())


def test_a_clean_log_is_usable(log):
    report = check(log("user,item,timestamp\n1,a,0\n1,b,86400\n2,a,0\n2,b,0\n"))
    assert report.exit_code == 0
    assert (report.rows, report.users, report.items, report.density) == (4, 2, 2, 1.0)
    assert report.period == ("1970-01-01", "1970-01-02")
    assert "usable: 4 rows, 2 users, 2 items" in told(report)
    assert "period: 1970-01-01 to 1970-01-02; density 100.000%; items with text 0.0%" in told(report)
    assert report.lines()[-1] == "Usable as it is."


def test_the_share_of_items_with_text_counts_titles(log):
    titles = pl.DataFrame({"item": ["a", "b", "c", "d"], "title": ["A", " ", None, "D"]})
    assert check(log("user,item\n1,a\n1,b\n1,c\n1,d\n"), items=titles).share_with_text == 2 / 4


def test_without_titles_any_text_counts(log):
    plots = pl.DataFrame({"item": ["a", "b"], "plot": ["A", None], "year": [1, 2]})
    assert check(log("user,item\n1,a\n1,b\n"), items=plots).share_with_text == 1 / 2


def test_missing_ids_are_an_error_with_a_way_out(log):
    path = log("user,item\n1,a\n1,b\n,b\n")
    report = check(path)
    assert report.exit_code == 1
    assert "error: " + str(path) + ": rows without a user or an item: 1 (first: line 4 has no user)" in told(report)
    assert report.lines()[-1] == 'Usable with missing_ids="drop".'
    assert check(path, missing_ids="drop").exit_code == 0
    assert 'Left out, as missing_ids="drop" says' in told(check(path, missing_ids="drop"))


def test_several_ways_out_are_named_together(log):
    report = check(log("user,item,rating,ts\n,a,1,1\n1,a,bad,1\n1,a,1,never\n1,a,1,1\n"))
    assert report.lines()[-1] == 'Usable with missing_ids="drop", bad_times="drop", bad_weights="drop".'
    assert report.rows == 1


def test_mixed_ids_are_an_error_with_a_way_out(log):
    report = check(log('{"user": 1, "item": "a"}\n{"user": "1", "item": "b"}\n', "log.jsonl"))
    assert report.lines()[-1] == 'Usable with mixed_ids="text".'


def test_duplicates_are_shown_with_the_filter_that_drops_them(log):
    report = check(log("user,item,timestamp\n1,a,5\n1,a,5\n1,a,6\n"))
    assert report.exit_code == 0
    assert "warning: " in told(report)
    assert "rows that repeat the user, item and time of an earlier one: 1 (first: line 3)" in told(report)
    assert "the filter deduplicate=true keeps the first event of each user and item" in told(report)


def test_without_times_duplicates_are_of_user_and_item(log):
    assert "repeat the user and item of an earlier one: 1" in told(check(log("user,item\n1,a\n1,a\n")))


def test_weights_of_nothing_and_below_are_shown(log):
    report = told(check(log("user,item,quantity\n1,a,-2\n1,b,0\n1,c,3\n")))
    assert "rows with quantity below 0 (cancellations?): 1 (first: line 2). Kept; the filter min_rating" in report
    assert "rows with quantity equal to 0: 1 (first: line 3)" in report


def test_users_with_one_event_are_shown(log):
    report = check(log("user,item\n1,a\n1,b\nzoe,a\n"))
    assert "warning: users with one event: 1 (first: user 'zoe'). Kept for training; nothing of theirs" in told(report)


def test_items_that_the_catalogue_lacks_are_shown(log):
    titles = pl.DataFrame({"item": ["a", "a", None], "title": ["A", "B", "C"]})
    report = told(check(log("user,item\n1,a\n1,b\n2,b\n"), items=titles))
    assert "items of the log that the catalogue lacks (in 2 rows): 1 (first: item 'b'). Kept, without text" in report
    assert "rows whose item came before: 1. The first is kept" in report
    assert "rows without item: 1. Left out" in report


def test_rows_without_time_or_weight_are_shown(log):
    report = told(check(log("user,item,timestamp,rating\n1,a,,\n1,b,5,5\n")))
    assert "rows without timestamp: 1. Kept without a time, after the event before them" in report
    assert "rows without rating: 1. Read as 1" in report


@pytest.mark.parametrize(("text", "said"), [
    ("", "is empty; expected at least one row"),
    ("user item\n1 a\n", "is a single column"),
    ("user,colour\n1,a\n", "has no column for item_id"),
    ("user,item\n,a\n", "no row can be used"),
])  # fmt: skip
def test_what_cannot_be_read_is_told_and_not_raised(log, text, said):
    report = check(log(text))
    assert report.exit_code == 2
    assert said in told(report)
    assert report.lines()[-1] == "Not usable before the errors above are corrected."


def test_a_missing_file_is_told_and_not_raised(tmp_path):
    report = check(tmp_path / "none.csv")
    assert report.exit_code == 2
    assert "none.csv does not exist" in told(report)

import pytest

from distilrec.data.folder import choose_files
from distilrec.errors import DataError


def fill(folder, **headers):
    for name, header in headers.items():
        (folder / name.replace("__", ".")).write_text(header + "\n")


def test_log_catalogue_and_users_are_told_apart_by_columns_and_names(tmp_path):
    fill(tmp_path, a__csv="user,item", b__csv="item,title", users__csv="user,age", c__csv="colour,shape")
    files = choose_files(tmp_path)
    assert [file.name for file in (files.log, files.catalogue, files.users)] == ["a.csv", "b.csv", "users.csv"]


def test_a_log_with_a_weight_or_time_wins_over_one_without(tmp_path):
    fill(tmp_path, plays__csv="user,item,plays", tags__csv="user,item,tag")
    files = choose_files(tmp_path)
    assert files.log.name == "plays.csv"
    assert "plays.csv was chosen over tags.csv; to choose otherwise give the path of tags.csv" in files.notes


def test_a_known_name_wins_over_another(tmp_path):
    fill(tmp_path, log__csv="user,item", items__csv="item,title", more__csv="item,plot")
    files = choose_files(tmp_path)
    assert files.catalogue.name == "items.csv"
    assert files.notes == ("items.csv was chosen over more.csv; to choose otherwise give items='more.csv'",)


def test_two_equal_logs_are_refused(tmp_path):
    fill(tmp_path, train__csv="user,item", test__csv="user,item")
    with pytest.raises(DataError, match=r"test\.csv and train\.csv could each be the log\. Say which one: read .*test"):
        choose_files(tmp_path)


def test_two_equal_catalogues_are_refused_unless_one_is_given(tmp_path):
    fill(tmp_path, log__csv="user,item", a__csv="item,title", b__csv="item,plot")
    with pytest.raises(
        DataError, match=r"a\.csv and b\.csv could each be the catalogue\. Say which one: items='a\.csv'"
    ):
        choose_files(tmp_path)
    assert choose_files(tmp_path, known={"catalogue"}).catalogue is None


def test_a_folder_without_a_log_is_refused_with_what_it_holds(tmp_path):
    fill(tmp_path, items__csv="item,title")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError) as error:
        choose_files(tmp_path)
    assert "has no file with a user and an item column" in str(error.value)
    assert "empty.csv has no columns; items.csv has item, title" in str(error.value)


def test_given_columns_make_a_log(tmp_path):
    fill(tmp_path, log__csv="who,what")
    assert choose_files(tmp_path, columns={"user_id": "who", "item_id": "what"}).log.name == "log.csv"

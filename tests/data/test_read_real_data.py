"""The seven real data sets, against facts that are known of them."""

import time
from pathlib import Path

import pytest

from distilrec.data.check import check
from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split

DATA = Path(__file__).parents[2] / "../shared/data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data (../shared/data) is not here")


@pytest.mark.parametrize(("name", "users", "items", "events", "title"), [
    ("amazon-beauty", 22_363, 12_101, 198_502, "OPI Nail Lacquer, Simmer and Shimmer, 0.5-Fluid Ounce"),
    ("ml-1m", 6_040, 3_416, 999_611, "Toy Story (1995)"),
    ("ml-100k", 943, 1_682, 100_000, "Toy Story (1995)"),
    ("frappe", 957, 4_082, 96_203, "Any.DO To-do & Tasks List"),
    ("lastfm-hetrec", 1_892, 17_632, 92_834, "MALICE MIZER"),
    ("movietweetings", 21_081, 12_611, 141_695, "The Adventures of Dollie (1908)"),
])  # fmt: skip
def test_a_folder_reads_without_arguments(name, users, items, events, title):
    interactions, _ = read(DATA / name)
    assert (interactions.n_users, interactions.n_items, interactions.events.height) == (users, items, events)
    assert interactions.items["title"][0] == title


def test_online_retail_needs_the_option_that_check_names():
    report = check(DATA / "online-retail")
    assert report.exit_code == 1
    assert report.lines()[-1] == 'Usable with missing_ids="drop".'
    interactions, _ = read(DATA / "online-retail", missing_ids="drop")
    assert (interactions.n_users, interactions.events.height) == (4_383, 417_534)
    assert interactions.users["user_id"][0] == 12346


def test_imdb_ids_keep_their_zeros():
    interactions, _ = read(DATA / "movietweetings")
    assert interactions.item_rows(["0000628", "628"]).tolist() == [0, -1]


def test_the_order_of_the_file_decides_in_ml_1m():
    interactions, _ = read(DATA / "ml-1m")
    first_user = interactions.sequences()[int(interactions.user_rows([5988])[0])]
    assert interactions.items["item_id"].gather(first_user[:3]).to_list() == [1198, 3552, 356]


def test_beauty_is_read_in_the_order_of_its_lines():
    interactions, _ = read(DATA / "amazon-beauty")
    assert interactions.items["item_id"].gather(interactions.sequences()[3]).to_list() == [20, 21, 22, 23, 4, 24]


@pytest.mark.benchmark
@pytest.mark.parametrize(("name", "seconds"), [("amazon-beauty", 1.5), ("ml-1m", 3.0)])
def test_reading_and_splitting_is_fast(name, seconds):
    began = time.perf_counter()
    split(read(DATA / name)[0], SplitSettings())
    assert time.perf_counter() - began < seconds

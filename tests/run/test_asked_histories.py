"""Histories of the certificate are real ones, of the model's own data."""

import polars as pl
import pytest

from distilrec.errors import ArtifactError
from distilrec.models.popularity import Popularity
from distilrec.recommender import Recommender
from distilrec.run.asked_histories import real_histories
from distilrec.run.recipe import DataSettings
from distilrec.run.stages import load_prepared, prepare, read_log
from distilrec.types import Ragged


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = [(user, (user + step) % 12, step) for user in range(8) for step in range(5)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "time"], orient="row").write_csv(folder / "log.csv")
    settings = DataSettings(path=str(folder / "log.csv"))
    prepare(read_log(settings)[0], settings, folder / "prepared")
    return folder / "prepared"


def of(items):
    return Recommender(Popularity.fit(Ragged.of([[0, 1]]), n_items=len(items)), items)


def test_they_are_of_different_users_where_there_are_enough(prepared):
    loaded = load_prepared(prepared)
    everyone = {tuple(history) for history in loaded.split.validation.histories}
    asked, calibration = real_histories(prepared, of(loaded.catalogue()), certificate=3, calibration=4)
    first, second = ({tuple(history) for history in part} for part in (asked, calibration))
    assert (len(first), len(second)) == (3, 4)
    assert first | second <= everyone
    again, _ = real_histories(prepared, of(loaded.catalogue()), certificate=3, calibration=4)
    assert [h.tolist() for h in again] == [h.tolist() for h in asked]


def test_data_of_another_catalogue_are_refused(prepared):
    other = load_prepared(prepared).catalogue().with_columns(pl.col("item_id") + 1)
    with pytest.raises(ArtifactError, match="a catalogue of 12 items that is not the model's, of 12; name the data"):
        real_histories(prepared, of(other), certificate=3, calibration=4)

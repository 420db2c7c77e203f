"""A new model is taken when it is whole, answers, and is like the old one; otherwise the old one stays."""

import asyncio
import logging

import pytest
from fakes import FakeModel, settings_for

from distilrec.errors import ArtifactError
from distilrec.serve.metrics import Metrics
from distilrec.serve.model import InUse, model_folder
from distilrec.serve.watch import Watch


@pytest.fixture
def watched(tmp_path):
    folder = tmp_path / "model"
    FakeModel().write(folder)
    in_use = InUse(FakeModel.load(folder))
    watch = Watch(folder, FakeModel.load, in_use, settings_for(tmp_path, min_overlap=0.5), Metrics())

    def look():
        return asyncio.run(watch.look())

    return folder, in_use, look


def test_what_has_not_changed_is_not_loaded_again(watched):
    _, in_use, look = watched
    before = in_use.model
    assert not look()
    assert in_use.model is before


def test_a_good_model_takes_over(watched, caplog):
    folder, in_use, look = watched
    caplog.set_level(logging.INFO)
    FakeModel(("a", "b", "d", "c"), "second").write(folder)
    assert look()
    assert in_use.model.digest == "second"
    assert "a new model answers" in caplog.text
    assert not look()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: FakeModel(("p", "q", "r", "s"), "alien").write(folder), "share 0.000 with the old one's"),
        (lambda folder: FakeModel(digest="nan", broken=True).write(folder), "expected 4 items with finite scores"),
        (lambda folder: (folder / "export.json").write_text('{"ids": ["a"], "count": 4}'), "was cut short"),
        (lambda folder: (folder / "export.json").write_text('{"ids": ["a"'), "Expecting ',' delimiter"),
    ],
)
def test_a_model_that_is_not_good_is_refused_and_the_log_says_why(watched, caplog, spoil, why):
    folder, in_use, look = watched
    spoil(folder)
    assert not look()
    assert in_use.model.digest == "first"
    assert why in caplog.records[-1].reason
    assert not look()
    assert len(caplog.records) == 1  # said once, not every second


def test_a_copy_that_becomes_whole_is_taken_after_all(watched, caplog):
    folder, in_use, look = watched
    (folder / "export.json").write_text('{"ids": [], "count": 4}')
    assert not look()
    FakeModel(digest="second").write(folder)
    assert look()
    assert in_use.model.digest == "second"


def test_a_folder_that_is_away_for_a_moment_is_waited_for(watched):
    folder, in_use, look = watched
    folder.rename(folder.with_name("elsewhere"))
    assert not look()
    FakeModel(digest="second").write(folder)
    assert look()
    assert in_use.model.digest == "second"


def test_the_same_model_copied_anew_changes_nothing(watched):
    folder, in_use, look = watched
    before = in_use.model
    FakeModel().write(folder)
    assert not look()
    assert in_use.model is before


def test_a_run_is_served_from_its_exported_folder_and_the_message_says_how_to_make_one(tmp_path):
    with pytest.raises(ArtifactError, match=r"holds no exported model; .* Run: distilrec export"):
        model_folder(tmp_path)
    FakeModel().write(tmp_path / "exported")
    assert model_folder(tmp_path) == tmp_path / "exported"

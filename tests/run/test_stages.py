"""Each stage is a function that can be called by itself: settings and inputs in, a folder filled."""

import numpy as np
import polars as pl
import pytest

from distilrec import Recommender
from distilrec.config import parse
from distilrec.data.interactions import Interactions
from distilrec.data.split import SplitSettings
from distilrec.data.synthetic import markov_world
from distilrec.errors import ArtifactError, DataError, KnowledgeError, SettingsError
from distilrec.knowledge import Knowledge
from distilrec.models.popularity import Popularity
from distilrec.run import stages
from distilrec.run.recipe import BaselineSettings, DataSettings, EvaluateStage, StudentAndTeacher, TeacherStage
from distilrec.teach.extract import LiveTeacher

TEACHER = {"model": {"width": 16, "max_length": 10}, "content_width": 6, "train": {"epochs": 1, "batch_size": 16}}
STUDENT = {"model": {"width": 8, "max_length": 10}, "train": {"epochs": 1, "batch_size": 16}}


@pytest.fixture(scope="module")
def prepared(small, tmp_path_factory):
    settings = DataSettings(path=small.folder / "world")
    interactions, _ = stages.read_log(settings)
    folder = tmp_path_factory.mktemp("stages") / "data"
    stages.prepare(interactions, settings, folder)
    return stages.load_prepared(folder)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(24, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def taught(prepared, vectors, tmp_path_factory):
    """The folder of a teacher with its knowledge."""
    folder, settings = tmp_path_factory.mktemp("taught"), parse(TeacherStage, TEACHER)
    validate = stages.validator(prepared, EvaluateStage(cutoffs=(10,)))
    stages.train_teacher(settings, prepared, vectors, folder, validate=validate, quiet=True)
    stages.take_knowledge(Recommender.from_pretrained(folder / "artefact"), prepared, folder / "knowledge", quiet=True)
    return folder


def learn(prepared, folder, knowledge=None):
    settings = parse(StudentAndTeacher, STUDENT)
    return stages.train_student(
        settings.model,
        settings.train,
        prepared,
        folder,
        validate=stages.validator(prepared, EvaluateStage(cutoffs=(10,))),
        knowledge=knowledge,
        distil=settings.distil if knowledge else None,
        quiet=True,
    )


# ---- data


def test_a_log_is_read_with_a_report_for_people(small):
    interactions, lines = stages.read_log(DataSettings(path=small.folder / "world"))
    assert (interactions.n_users, interactions.n_items) == (60, 24)
    assert "rows read: 600" in lines


def test_the_options_of_reading_reach_the_reader(tmp_path):
    (tmp_path / "log.csv").write_text("who;what\n1;a\n;b\n2;b\n")
    settings = parse(DataSettings, {"path": tmp_path / "log.csv", "columns": {"user_id": "who", "item_id": "what"}})
    with pytest.raises(DataError, match="missing_ids"):
        stages.read_log(settings)
    interactions, _ = stages.read_log(settings.with_changes(missing_ids="drop", separator=";"))
    assert interactions.events.height == 2


def test_prepared_data_is_filtered_and_split_and_comes_back_the_same(small, tmp_path):
    settings = parse(
        DataSettings,
        {"path": small.folder / "world", "filter": {"deduplicate": True}, "split": {"kind": "held_out_users"}},
    )
    interactions, _ = stages.read_log(settings)
    said = stages.prepare(interactions, settings, tmp_path / "data")
    assert said[0].startswith("deduplicate left out")
    first, second = stages.load_prepared(tmp_path / "data"), stages.load_prepared(tmp_path / "data")
    assert first.split.digest() == second.split.digest()
    assert len(first.split.test) == 6  # a tenth of the users


def test_a_date_survives_being_written(tmp_path, small):
    settings = parse(
        DataSettings,
        {
            "path": small.folder / "world",
            "split": {"kind": "time", "validation_from": "2001-09-15", "test_from": "2001-09-17T12:00:00+02:00"},
        },
    )
    said = stages.prepare(stages.read_log(settings)[0], settings, tmp_path / "data")
    assert "validation from 2001-09-15 00:00:00, test from 2001-09-17 10:00:00" in said
    stages.load_prepared(tmp_path / "data")
    assert parse(SplitSettings, settings.split.model_dump(mode="json")) == settings.split


def test_the_catalogue_counts_what_was_chosen_in_training_alone(prepared):
    catalogue = prepared.catalogue()
    assert catalogue.columns == ["item_id", "train_count", "title", "cluster"]
    assert catalogue["train_count"].sum() == len(prepared.split.train.values) == 600 - 2 * 60


def test_prepared_data_replaces_older_prepared_data(small, tmp_path):
    settings = DataSettings(path=small.folder / "world")
    for _ in range(2):
        stages.prepare(stages.read_log(settings)[0], settings, tmp_path / "data")
    assert stages.load_prepared(tmp_path / "data").interactions.n_items == 24


def test_prepared_data_never_replaces_anything_else(small, tmp_path):
    """Saving a log puts a whole folder in the place of another."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.tex").touch()
    settings = DataSettings(path=small.folder / "world")
    with pytest.raises(ArtifactError, match=r"also holds thesis\.tex, which prepared data there would delete"):
        stages.prepare(stages.read_log(settings)[0], settings, tmp_path / "data")
    with pytest.raises(ArtifactError, match=r"thesis\.tex is a file; expected a folder for prepared data"):
        stages.prepare(stages.read_log(settings)[0], settings, tmp_path / "data" / "thesis.tex")
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["thesis.tex"]


def test_a_folder_that_holds_no_prepared_data_is_named(tmp_path):
    with pytest.raises(DataError, match="is not a whole folder of saved interactions"):
        stages.load_prepared(tmp_path)


# ---- encode


def test_vectors_come_back_as_they_were_written(prepared, small, tmp_path):
    stages.encode(prepared, small.recipe().encode, tmp_path / "vectors", quiet=True)
    assert stages.load_vectors(tmp_path / "vectors").shape == (24, 32)


def test_a_folder_without_vectors_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"vectors\.npy does not exist; expected a folder that `distilrec encode`"):
        stages.load_vectors(tmp_path)
    (tmp_path / "vectors.npy").write_bytes(b"\x93NUMPY nonsense")
    with pytest.raises(ArtifactError, match=r"vectors\.npy is damaged .*; encode the catalogue again"):
        stages.load_vectors(tmp_path)


# ---- models


def test_baselines_are_fitted_with_their_settings_and_left_out_when_none(prepared):
    settings = parse(BaselineSettings, {"item_knn": None, "ease": {"l2": 7}})
    models = stages.fit_baselines(settings, prepared)
    assert list(models) == ["popularity", "ease"]
    assert models["ease"].settings.l2 == 7


def test_a_teacher_is_saved_folded_so_that_it_needs_no_encoder(taught):
    teacher = Recommender.from_pretrained(taught / "artefact")
    assert teacher.model.state()["table.weight"].shape == (24, 16)
    assert (taught / "training.json").is_file()


def test_vectors_of_another_catalogue_are_refused_before_training(prepared, vectors, tmp_path):
    with pytest.raises(ArtifactError, match="there are vectors of 23 items, and the catalogue has 24; encode this"):
        stages.train_teacher(
            parse(TeacherStage, TEACHER), prepared, vectors[:23], tmp_path / "teacher", validate=lambda model: 0.0
        )
    assert not (tmp_path / "teacher").exists()


def test_the_same_seed_gives_the_same_student_and_the_checkpoint_stays_until_it_is_forgotten(prepared, tmp_path):
    """So that a command which was interrupted after training does not train again."""
    reports = [learn(prepared, tmp_path / name) for name in ("a", "b")]
    assert reports[0].best_score == reports[1].best_score
    assert learn(prepared, tmp_path / "a") == reports[0]  # its seconds too: nothing was trained
    stages.forget_checkpoint(tmp_path / "a")
    stages.forget_checkpoint(tmp_path / "a")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"artefact", "training.json"}


def test_a_student_learns_from_disk_from_a_teacher_or_from_nobody(prepared, taught, tmp_path):
    disk = stages.open_knowledge(taught / "knowledge", None, prepared)
    live = stages.open_knowledge(None, taught / "artefact", prepared)
    nobody = stages.open_knowledge(None, None, prepared)
    assert isinstance(disk, Knowledge)
    assert isinstance(live, LiveTeacher)
    assert nobody is None
    scores = [learn(prepared, tmp_path / str(number), source).best_score for number, source in enumerate([disk, live])]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    about = Recommender.from_pretrained(tmp_path / "0" / "artefact").about
    assert about["distil"]["alpha"] == 0.7


def test_two_sources_of_knowledge_are_refused(prepared, taught):
    with pytest.raises(SettingsError, match="both a knowledge folder and a teacher were given; choose one"):
        stages.open_knowledge(taught / "knowledge", taught / "artefact", prepared)


def test_knowledge_of_other_data_is_refused_before_training(taught, tmp_path):
    other = markov_world(n_users=60, n_items=24, length=10, seed=9)
    with pytest.raises(KnowledgeError, match="was extracted from other training windows"):
        learn(made(other), tmp_path / "student", Knowledge.open(taught / "knowledge"))
    assert not (tmp_path / "student").exists()


def made(interactions):
    from distilrec.data.split import split

    return stages.Prepared(interactions, split(interactions, SplitSettings()))


def renamed(prepared):
    """The same world, whose items have other ids."""
    old = prepared.interactions
    items = old.items.with_columns(item_id=pl.Series([f"item {value}" for value in old.items["item_id"]]))
    return made(Interactions(old.events, old.users, items))


def test_a_teacher_of_another_catalogue_is_refused_even_if_it_has_as_many_items(prepared, taught):
    """Its row numbers would be taken for other items, and no shape would tell."""
    with pytest.raises(ArtifactError, match=r"the teacher ranks another catalogue \(24 items\) than the data's"):
        stages.open_knowledge(None, taught / "artefact", renamed(prepared))


def test_a_teacher_that_is_no_transformer_is_refused(prepared, tmp_path):
    model = Popularity.fit(prepared.split.train, n_items=24)
    Recommender(model, prepared.catalogue()).save_pretrained(tmp_path / "popular")
    with pytest.raises(ArtifactError, match="the teacher is a popularity, which has no history and item vectors"):
        stages.open_knowledge(None, tmp_path / "popular", prepared)


# ---- evaluate


def test_a_model_is_judged_on_test_or_on_validation(prepared, taught):
    teacher, settings = Recommender.from_pretrained(taught / "artefact"), EvaluateStage(cutoffs=(10,))
    test, validation = (stages.judge(teacher, prepared, settings, on=on) for on in ("test", "validation"))
    assert (test.protocol["split"], validation.protocol["split"]) == ("test", "validation")
    assert test.mean("ndcg@10") != validation.mean("ndcg@10")
    with pytest.raises(SettingsError, match="cases 'train' are unknown; choose test or validation"):
        stages.judge(teacher, prepared, settings, on="train")


def test_a_model_of_another_catalogue_is_not_judged(prepared, taught):
    teacher = Recommender.from_pretrained(taught / "artefact")
    with pytest.raises(ArtifactError, match=r"the model ranks another catalogue \(24 items\) than the data's"):
        stages.judge(teacher, renamed(prepared), EvaluateStage(cutoffs=(10,)))


@pytest.mark.parametrize(("metric", "cutoffs"), [("ndcg@10", (5, 10)), ("mrr", (5,)), ("recall@5", (5, 10))])
def test_training_goes_by_the_metric_on_validation(prepared, taught, metric, cutoffs):
    teacher, settings = Recommender.from_pretrained(taught / "artefact"), EvaluateStage(cutoffs=cutoffs, metric=metric)
    judged = stages.judge(teacher, prepared, settings, on="validation").mean(metric)
    assert stages.validator(prepared, settings)(teacher.model) == judged

"""Each stage is a function that can be called by itself: settings and inputs in, a folder filled."""

import re

import numpy as np
import polars as pl
import pytest

from distilrec import Recommender
from distilrec.config import parse
from distilrec.data.interactions import Interactions
from distilrec.data.split import SplitSettings
from distilrec.data.synthetic import markov_world
from distilrec.distil.initialise import principal_directions
from distilrec.distil.weights import map_layers
from distilrec.errors import ArtifactError, DataError, KnowledgeError, SettingsError
from distilrec.knowledge import Knowledge
from distilrec.models.popularity import Popularity
from distilrec.models.students import build_student
from distilrec.run import stages
from distilrec.run.recipe import BaselineSettings, DataSettings, EvaluateStage, StudentAndTeacher, TeacherAndKnowledge
from distilrec.run.teachers import (
    Lessons,
    fit_folds,
    fit_teacher,
    forget_checkpoint,
    open_knowledge,
    open_model,
    open_teacher,
    take_knowledge,
    untrained,
    worse_than_popularity,
)
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import ScoreTeacher, VectorTeacher, as_teacher
from tiny_bodies import shared_body

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
def vectors(tmp_path_factory):
    """The folder of made-up vectors of the items."""
    folder = tmp_path_factory.mktemp("vectors")
    np.save(folder / "vectors.npy", np.random.default_rng(0).normal(size=(24, 12)).astype(np.float32))
    return folder


def stage(values):
    return parse(TeacherAndKnowledge, {"teacher": values}).teacher


def lessons(prepared, vectors=None, **options):
    validate = stages.validator(prepared, EvaluateStage(cutoffs=(10,)))
    return Lessons(prepared, vectors, "{title}", options.pop("validate", validate))


@pytest.fixture(scope="module")
def taught(prepared, vectors, tmp_path_factory):
    """The folder of a teacher with its knowledge."""
    folder = tmp_path_factory.mktemp("taught")
    fit_teacher(stage(TEACHER), lessons(prepared, vectors), folder, quiet=True)
    exact = KnowledgeSettings(soft_labels="whole", dtype="float32")
    take_knowledge(
        open_teacher(folder, prepared, 10), prepared, folder / "knowledge", max_length=10, settings=exact, quiet=True
    )
    return folder


def learn(prepared, folder, knowledge=None, teacher=None, say=print, augment=None, **distil):
    train = {**STUDENT["train"], "augment": augment}
    settings = parse(StudentAndTeacher, {**STUDENT, "train": train, "distil": distil})
    return stages.train_student(
        settings.model,
        settings.train,
        prepared,
        folder,
        validate=stages.validator(prepared, EvaluateStage(cutoffs=(10,))),
        knowledge=knowledge,
        distil=settings.distil if knowledge else None,
        teacher=teacher,
        say=say,
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
    np.save(tmp_path / "vectors.npy", np.load(vectors / "vectors.npy")[:23])
    with pytest.raises(ArtifactError, match="there are vectors of 23 items, and the catalogue has 24; encode the"):
        fit_teacher(stage(TEACHER), lessons(prepared, tmp_path), tmp_path / "teacher", quiet=True)
    assert not (tmp_path / "teacher").exists()
    with pytest.raises(SettingsError, match="a teacher of kind text_and_ids reads item vectors; give the folder"):
        fit_teacher(stage(TEACHER), lessons(prepared), tmp_path / "teacher", quiet=True)


def test_the_same_seed_gives_the_same_student_and_the_checkpoint_stays_until_it_is_forgotten(prepared, tmp_path):
    """So that a command which was interrupted after training does not train again."""
    reports = [learn(prepared, tmp_path / name) for name in ("a", "b")]
    assert reports[0].best_score == reports[1].best_score
    assert learn(prepared, tmp_path / "a") == reports[0]  # its seconds too: nothing was trained
    forget_checkpoint(tmp_path / "a")
    forget_checkpoint(tmp_path / "a")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"artefact", "training.json"}


def test_a_student_learns_from_disk_from_a_teacher_or_from_nobody(prepared, taught, tmp_path):
    disk = open_knowledge(taught / "knowledge", None, prepared, max_length=10)
    live = open_knowledge(None, taught / "artefact", prepared, max_length=10)
    nobody = open_knowledge(None, None, prepared, max_length=10)
    assert isinstance(disk, Knowledge)
    assert isinstance(live, VectorTeacher)
    assert nobody is None
    scores = [learn(prepared, tmp_path / str(number), source).best_score for number, source in enumerate([disk, live])]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    about = Recommender.from_pretrained(tmp_path / "0" / "artefact").about
    assert [loss["kind"] for loss in about["distil"]["losses"]] == ["relaxed_ranking"]


def test_without_a_teacher_no_similar_items_are_read_and_that_is_said(prepared, taught, tmp_path):
    """Who has a teacher, and who is only masked, is trained as the settings say."""
    wanted = {"mask": 0.5, "substitute": 0.25, "insert": 0.25}
    learnt = {}
    for name, source, augment in [
        ("alone", None, wanted),
        ("taught", Knowledge.open(taught / "knowledge"), wanted),
        ("masked", None, {"mask": 0.5}),
    ]:
        said = []
        learn(prepared, tmp_path / name, source, say=said.append, augment=augment)
        used = Recommender.from_pretrained(tmp_path / name / "artefact").about["train"]["augment"]
        learnt[name] = [used[operation] for operation in wanted], len(said)
    assert learnt == {"alone": ([0.5, 0, 0], 1), "taught": ([0.5, 0.25, 0.25], 0), "masked": ([0.5, 0, 0], 0)}


def test_two_sources_of_knowledge_are_refused(prepared, taught):
    with pytest.raises(SettingsError, match="both a knowledge folder and a teacher were given; choose one"):
        open_knowledge(taught / "knowledge", taught / "artefact", prepared, max_length=10)


def test_several_folders_of_knowledge_are_one_source_with_a_share_each(prepared, taught):
    folders = [taught / "knowledge"] * 2
    assert open_knowledge(folders, None, prepared, max_length=10).weights == [0.5, 0.5]
    several = open_knowledge(folders, None, prepared, max_length=10, weights=[0.25, 0.75])
    assert several.weights == [0.25, 0.75]
    np.testing.assert_array_equal(several.item_vectors(), Knowledge.open(folders[0]).item_vectors())
    with pytest.raises(SettingsError, match=r"the teachers' weights 0\.25, 0\.25 sum to 0\.5; expected 1"):
        open_knowledge(folders, None, prepared, max_length=10, weights=[0.25, 0.25])
    with pytest.raises(KnowledgeError, match="knowledge is of another catalogue"):
        open_knowledge(folders, None, renamed(prepared), max_length=10)


# ---- layers of the teacher

ONE_BLOCK = {"blocks.0": "blocks.0"}


def weights_of(folder):
    return Recommender.from_pretrained(folder / "artefact").model.state()


@pytest.mark.parametrize(("pull", "same"), [(1.0, True), (0.0, False)])
def test_layers_begin_as_the_teachers_and_a_whole_pull_holds_them_there(prepared, taught, tmp_path, pull, same):
    knowledge, teacher = Knowledge.open(taught / "knowledge"), open_model(taught, prepared)
    report = learn(prepared, tmp_path, knowledge, teacher, layers=ONE_BLOCK, pull=pull)
    assert np.isfinite(report.best_score)
    shape = parse(StudentAndTeacher, STUDENT).model
    directions = principal_directions(knowledge.item_vectors(), shape.width)
    wanted = map_layers(build_student(shape, 24), teacher.state(), ONE_BLOCK, directions=directions)
    found = weights_of(tmp_path)
    assert all(np.allclose(found[name], value.numpy(), atol=1e-6) for name, value in wanted.items()) is same


def test_layers_that_are_copied_are_not_those_of_a_student_that_starts_anew(prepared, taught, tmp_path):
    knowledge, teacher = Knowledge.open(taught / "knowledge"), open_model(taught, prepared)
    learn(prepared, tmp_path / "anew", knowledge)
    learn(prepared, tmp_path / "copied", knowledge, teacher, layers=ONE_BLOCK)
    anew, copied = weights_of(tmp_path / "anew"), weights_of(tmp_path / "copied")
    assert not np.allclose(anew["blocks.0.query_key_value.weight"], copied["blocks.0.query_key_value.weight"])


@pytest.mark.parametrize(
    ("distil", "message"),
    [
        ({"layers": {"blocks.0": "blocks.7"}}, "the teacher has no layer 'blocks.7' with weights; near it are blocks"),
        ({"layers": {"blocks.7": "blocks.0"}}, "the student has no layer 'blocks.7' with weights; near it are blocks"),
        ({"layers": ONE_BLOCK, "start_from_teacher": False}, "give the directions that the student's item table was"),
    ],
)
def test_layers_that_are_not_there_or_do_not_fit_are_refused_before_training(
    prepared, taught, tmp_path, distil, message
):
    knowledge, teacher = Knowledge.open(taught / "knowledge"), open_model(taught, prepared)
    with pytest.raises(SettingsError, match=message):
        learn(prepared, tmp_path / "student", knowledge, teacher, **distil)
    assert not (tmp_path / "student").exists()


def test_knowledge_alone_has_no_layers(prepared, taught, tmp_path):
    with pytest.raises(SettingsError, match=r"layers of the teacher's model, and knowledge on disk has none; give"):
        learn(prepared, tmp_path / "student", Knowledge.open(taught / "knowledge"), layers=ONE_BLOCK)


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
        open_knowledge(None, taught / "artefact", renamed(prepared), max_length=10)


def test_knowledge_of_another_catalogue_is_refused(prepared, taught):
    with pytest.raises(KnowledgeError, match=r"knowledge is of another catalogue \(digest"):
        open_knowledge(taught / "knowledge", None, renamed(prepared), max_length=10)


def test_a_teacher_that_only_scores_teaches_too(prepared, tmp_path):
    model = Popularity.fit(prepared.split.train, n_items=24)
    Recommender(model, prepared.catalogue()).save_pretrained(tmp_path / "popular")
    live = open_knowledge(None, tmp_path / "popular", prepared, max_length=10)
    assert isinstance(live, ScoreTeacher)
    with pytest.raises(SettingsError, match=r"has no item vectors to start from; set distil\.start_from_teacher=false"):
        learn(prepared, tmp_path / "student", live)


def test_a_teacher_worse_than_popularity_is_warned_of(prepared, tmp_path):
    teacher = as_teacher(Popularity.fit(prepared.split.train, n_items=24))
    found = take_knowledge(teacher, prepared, tmp_path, max_length=10, score=0.001, quiet=True)
    told = r"on validation the teacher's NDCG@10 is 0\.0010, and that of popularity 0\.[1-9]\d+: there is nothing"
    assert re.match(told, found.manifest["warnings"][0])
    assert worse_than_popularity(1.0, prepared) == []


SHAPE = {"width": 8, "max_length": 10}
SHORT = {"epochs": 1, "batch_size": 16}
KINDS = {
    "ids": {"model": SHAPE | {"heads": 1}, "train": SHORT},
    "ease": {"model": {"l2": 3}},
    "item_knn": {"model": {"neighbours": 5}},
    "lightgcn": {"model": SHAPE, "train": SHORT},
}


def test_a_sequence_model_reads_text_under_the_network_that_is_asked_for(prepared, vectors):
    kinds = ["gru", "cnn", "lightgcn"]
    stages_of = [stage({"kind": "sequence_model", **TEACHER, "model": {"kind": kind, **SHAPE}}) for kind in kinds]
    made = [untrained(one, lessons(prepared, vectors)) for one in stages_of]
    assert [model.kind for model in made] == kinds
    assert all(model.table.content.shape[1] == 6 and model.table.free is not None for model in made)


def test_one_setting_changed_leaves_the_others_of_a_kind_as_they_were():
    """A kind's own defaults must not be lost to those of a student."""
    assert stage({"kind": "ids", "model": {"max_length": 9}}).model.width == 128
    train = stage({"kind": "item_language_model", "train": {"epochs": 2}}).train
    assert (train.body_learning_rate, train.clip_norm) == (5e-5, 1.0)


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    return shared_body("bert", tmp_path_factory.getbasetemp())


def test_a_sequence_model_without_its_kind_is_refused():
    with pytest.raises(SettingsError, match=r"model: .*name its kind too, such as linear_recurrence"):
        stage({"kind": "sequence_model", "model": {"width": 64}})


@pytest.mark.parametrize(
    "kind", [*KINDS, "text_and_ids", "sequence_model", "item_language_model", "text_language_model"]
)
def test_every_kind_of_teacher_is_made_saved_and_asked_the_same_way(prepared, vectors, body, tmp_path, kind):
    settings = {
        "text_and_ids": TEACHER,
        "sequence_model": {**TEACHER, "model": {"kind": "gru", **SHAPE}},
        "item_language_model": {**TEACHER, "model": {**SHAPE, "body": str(body)}},
        "text_language_model": {"model": {"body": str(body), "max_tokens": 16, "item_tokens": 6}, "train": SHORT},
        **KINDS,
    }[kind]
    score = fit_teacher(stage({"kind": kind, **settings}), lessons(prepared, vectors), tmp_path, quiet=True)
    model = Recommender.from_pretrained(tmp_path / "artefact").model
    assert stages.validator(prepared, EvaluateStage(cutoffs=(10,)))(model) == pytest.approx(score, abs=1e-3)
    found = take_knowledge(
        open_teacher(tmp_path, prepared, 10), prepared, tmp_path / "knowledge", max_length=10, quiet=True
    )
    assert found.manifest["windows"] == len(prepared.split.train)


def members():
    return [{"kind": kind, **KINDS[kind]} for kind in ("ids", "ease")]


def test_an_ensemble_is_made_of_its_members_and_trains_none_of_them_twice(prepared, tmp_path):
    ensemble = stage({"kind": "ensemble", "members": members()})
    fit_teacher(ensemble, lessons(prepared), tmp_path, quiet=True)
    model = Recommender.from_pretrained(tmp_path / "artefact").model
    assert [member.kind for member in model.members] == ["transformer", "ease"]
    assert sum(model.settings.weights) == pytest.approx(1)
    kept = (tmp_path / "members/0/artefact/model.safetensors").stat().st_mtime_ns
    fixed = stage({"kind": "ensemble", "members": members(), "weights": [0.25, 0.75]})
    fit_teacher(fixed, lessons(prepared), tmp_path, quiet=True)
    assert Recommender.from_pretrained(tmp_path / "artefact").model.settings.weights == (0.25, 0.75)
    assert (tmp_path / "members/0/artefact/model.safetensors").stat().st_mtime_ns == kept


def test_for_cross_fitting_there_is_a_teacher_for_each_fold(prepared, tmp_path):
    """Its knowledge is of all windows; half of the users are spoken of by each."""
    ids = stage({"kind": "ids", **KINDS["ids"]})
    fit_teacher(ids, lessons(prepared), tmp_path, quiet=True)
    fit_folds(ids, lessons(prepared), tmp_path, folds=2, quiet=True)
    teacher = open_teacher(tmp_path, prepared, 10)
    assert isinstance(teacher, FoldedTeacher)
    assert np.bincount(teacher.folds).tolist() == [30, 30]
    tables = [one.item_vectors() for one in teacher.teachers]
    assert not np.allclose(*tables)
    whole = KnowledgeSettings(soft_labels="whole")
    found = take_knowledge(teacher, prepared, tmp_path / "knowledge", max_length=10, settings=whole, quiet=True)
    assert [part.fold for part in found.parts] == [0, 1]
    learn(prepared, tmp_path / "student", found)


# ---- evaluate


def test_a_model_is_judged_on_test_or_on_validation(prepared, taught):
    teacher, settings = Recommender.from_pretrained(taught / "artefact"), EvaluateStage(cutoffs=(10,))
    test, validation = (stages.judge(teacher, prepared, settings, on=on) for on in ("test", "validation"))
    assert (test.protocol["split"], validation.protocol["split"]) == ("test", "validation")
    assert test.mean("ndcg@10") != validation.mean("ndcg@10")
    with pytest.raises(SettingsError, match="cases 'train' are unknown; choose test, validation or last_event"):
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

"""Trackers are told what lies in a run's folder: once, and anew when it changes. Fakes stand for the libraries."""

import shutil
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from distilrec.errors import ArtifactError, MissingExtraError, SettingsError
from distilrec.files import read_json, write_json
from distilrec.run import track as tracking
from distilrec.run.track import track
from distilrec.run.track.tracked import tracked_in

NAMES = ["teacher", "distilled/seed-0", "student_alone/seed-0"]


class Writer:
    """What TensorBoard's writer would be told."""

    folders: list  # of every writer, in order
    scalars: dict

    def __init__(self, folder):
        Writer.folders.append(folder)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def add_scalar(self, name, value, step):
        Writer.scalars[len(Writer.folders), name, step] = value

    def add_text(self, name, text):
        assert "| student.model.width | 8 |" in text
        assert name == "settings"


class Client:
    """An MLflow server in memory."""

    def __init__(self, tracking_uri):
        Client.place = tracking_uri

    def get_experiment_by_name(self, name):
        return Client.experiment

    def create_experiment(self, name):
        assert name == "distilrec"
        Client.experiment = SimpleNamespace(experiment_id="7")
        return "7"

    def search_runs(self, experiments, filter_string):
        assert experiments == ["7"]
        return [run for run in Client.runs if f"'{run.data.tags['distilrec.training']}'" in filter_string]

    def create_run(self, experiment, run_name, tags):
        info = SimpleNamespace(run_id=run_name, status="RUNNING")
        Client.runs.append(SimpleNamespace(info=info, data=SimpleNamespace(tags=tags), told=[]))
        return Client.runs[-1]

    def delete_run(self, run_id):
        Client.runs = [run for run in Client.runs if run.info.run_id != run_id]

    def log_batch(self, run_id, metrics=(), params=()):
        assert len(metrics) <= 1000
        assert len(params) <= 100
        next(run for run in Client.runs if run.info.run_id == run_id).told.extend([*metrics, *params])

    def set_terminated(self, run_id):
        next(run for run in Client.runs if run.info.run_id == run_id).info.status = "FINISHED"


@pytest.fixture
def fakes(monkeypatch):
    """Both libraries are there, and note what they are told."""

    def module(name, **content):
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)

    Writer.folders, Writer.scalars = [], {}
    Client.experiment, Client.runs = None, []
    module("torch.utils.tensorboard", SummaryWriter=Writer)
    module("mlflow", MlflowClient=Client)
    module("mlflow.entities", Metric=lambda *told: told, Param=lambda *told: told)
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_every_training_has_its_settings_epochs_and_results(finished):
    found = {one.name: one for one in tracked_in(finished.folder)}
    assert list(found) == NAMES
    distilled = found["distilled/seed-0"]
    assert distilled.settings["student.model.width"] == "8"
    assert set(distilled.epochs[0]) == {"loss/loss", "loss/hard", "loss/soft", "validation", "seconds"}
    mean = {row.name: row for row in finished.results.rows}["distilled"].metrics["ndcg@10"].mean
    assert distilled.results["test/ndcg@10"] == pytest.approx(mean)


def told(run):
    """What is told of each distilled student's NDCG@10, by its folder."""
    return {one.name: one.results.get("test/ndcg@10") for one in tracked_in(run) if one.name.startswith("distilled")}


def test_seeds_that_are_added_to_a_tracked_run_have_results_of_their_own_in_any_order(fakes, small, copied, quick):
    """The recipe names the new seed while the evaluation of the old one is still there."""
    small.run(copied, "track=[tensorboard]")
    small.run(copied, "track=[tensorboard]", "seeds=[0, 1]")
    first, second = (means["ndcg@10"] for means in read_json(copied / "evaluation/distilled/seeds.json")["means"])
    assert first != second
    assert told(copied) == {"distilled/seed-0": first, "distilled/seed-1": second}
    recipe = copied / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**yaml.safe_load(recipe.read_text()), "seeds": [1, 0]}))
    assert told(copied) == {"distilled/seed-0": first, "distilled/seed-1": second}


def test_a_seed_that_was_dropped_has_no_results(small, copied, quick):
    small.run(copied, "seeds=[5]")
    assert told(copied)["distilled/seed-0"] is None
    assert told(copied)["distilled/seed-5"] is not None


def test_a_training_that_was_done_anew_has_no_results_until_it_is_judged(copied):
    """A model's config has the digests of its weights."""
    config = copied / "distilled/seed-0/artefact/config.json"
    config.write_text(config.read_text() + "\n")
    assert told(copied) == {"distilled/seed-0": None}


@pytest.mark.parametrize("file", ["evaluation/distilled/stage.json", "evaluation/distilled/seeds.json"])
def test_an_evaluation_that_does_not_say_of_which_models_it_is_tells_nothing(copied, file):
    (copied / file).unlink()
    assert told(copied) == {"distilled/seed-0": None}


def test_what_a_kill_left_is_no_training(copied):
    for left in ("seed-0.old", "seed-1.old", "seed-2.partial"):
        shutil.copytree(copied / "distilled/seed-0", copied / "distilled" / left)
    shutil.copytree(copied / "distilled", copied / "distilled.old")
    assert [one.name for one in tracked_in(copied)] == NAMES


def test_tensorboard_gets_a_folder_a_training_and_is_not_told_twice(fakes, copied):
    assert track(copied, ["tensorboard"]) == [f"tensorboard --logdir {copied / 'tensorboard'}"]
    assert sorted(path.name for path in (copied / "tensorboard").iterdir()) == [
        *("distilled-seed-0", "student_alone-seed-0", "teacher"),
    ]
    training = read_json(copied / "teacher/training.json")
    assert [Writer.scalars[1, "validation", step] for step in (1, 2)] == [e["score"] for e in training["epochs"]]
    assert Writer.scalars[1, "test/ndcg@10", training["best_epoch"] + 1] > 0
    assert len(Writer.folders) == 3
    track(copied, ["tensorboard"])
    assert len(Writer.folders) == 3


def test_what_has_changed_is_told_anew(fakes, copied):
    track(copied, ["tensorboard", "mlflow"])
    training = read_json(copied / "teacher/training.json")
    write_json(copied / "teacher/training.json", {**training, "epochs": training["epochs"][:1], "best_epoch": 0})
    track(copied, ["tensorboard", "mlflow"])
    assert len(Writer.folders) == 4
    assert len(Client.runs) == 3


def test_mlflow_gets_a_run_a_training_in_a_database_beside_the_run(fakes, copied):
    place = f"sqlite:///{copied.parent / 'mlflow.db'}"
    assert track(copied, ["mlflow"]) == [f"mlflow ui --backend-store-uri {place}"]
    assert Client.place == place
    assert [run.info.run_id for run in Client.runs] == [f"copied/{name}" for name in NAMES]
    told = Client.runs[1].told
    assert ("student.model.width", "8") in told
    assert {name for name, *_ in told} > {"test/ndcg_at_10", "loss/soft", "validation"}
    track(copied, ["mlflow"])
    assert len(Client.runs) == 3


def test_mlflow_goes_where_its_own_variable_says(fakes, copied, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    track(copied, ["mlflow"])
    assert Client.place == "sqlite:///elsewhere.db"


def test_a_run_tells_its_trackers_and_a_second_call_has_nothing_new_to_tell(fakes, small, copied, quick):
    said = small.run(copied, "track=[tensorboard]")[1]
    assert said[-1] == f"tracked; see: tensorboard --logdir {copied / 'tensorboard'}"
    told = len(Writer.folders)
    assert told == 3
    small.run(copied, "track=[tensorboard]")
    assert len(Writer.folders) == told


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_trained(small, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mlflow is not installed\. Run: pip install 'distilrec\[track\]'"):
        small.run(tmp_path / "run", "track=[mlflow]")
    assert not (tmp_path / "run/data").exists()


@pytest.mark.parametrize(("name", "blocked"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_a_tracker_that_is_half_installed_says_what_to_install(fakes, copied, monkeypatch, name, blocked):
    monkeypatch.setitem(sys.modules, blocked, None)
    with pytest.raises(MissingExtraError, match=f"{name} is not installed"):
        track(copied, [name])


def test_an_unknown_tracker_and_a_folder_that_is_no_run_are_refused(small, fakes, tmp_path):
    with pytest.raises(SettingsError, match="track"):
        small.recipe("track=[diary]")
    with pytest.raises(ArtifactError, match="is not the folder of a run"):
        track(tmp_path, ["mlflow"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs distilrec[track]")
def test_tensorboard_itself_reads_what_was_written(copied):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track(copied, ["tensorboard"])
    events = EventAccumulator(str(copied / "tensorboard/distilled-seed-0"))
    events.Reload()
    training = read_json(copied / "distilled/seed-0/training.json")
    assert [e.value for e in events.Scalars("validation")] == pytest.approx([e["score"] for e in training["epochs"]])
    assert [e.step for e in events.Scalars("test/ndcg@10")] == [training["best_epoch"] + 1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("mlflow") is None, reason="needs distilrec[track]")
def test_mlflow_itself_reads_what_was_written(copied, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _ in range(2):
        track(copied, ["mlflow"])
    client = MlflowClient(tracking_uri=f"sqlite:///{copied.parent / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("distilrec").experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(f"copied/{name}" for name in NAMES)
    found = next(run for run in runs if run.info.run_name.endswith("distilled/seed-0"))
    assert found.data.params["student.model.width"] == "8"
    assert "test/ndcg_at_10" in found.data.metrics
    history = client.get_metric_history(found.info.run_id, "validation")
    training = read_json(copied / "distilled/seed-0/training.json")
    assert [one.value for one in history] == pytest.approx([epoch["score"] for epoch in training["epochs"]])

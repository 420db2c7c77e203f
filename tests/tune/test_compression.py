"""The search under a budget: what is tried, kept, chosen and left, on a finished run of a small world."""

import json
import shutil

import pytest

from distilrec.compress.budget import Budget
from distilrec.compress.ladder import FIRST, ladder
from distilrec.compress.told import PLOT
from distilrec.errors import ArtifactError, SettingsError
from distilrec.files import sha256_of_file
from distilrec.recommender import Recommender
from distilrec.run.stages import judge, load_prepared
from distilrec.tune import costs, points
from distilrec.tune.compression import Search, search
from distilrec.tune.shipping import judge_once, page, ship
from distilrec.tune.subject import subject_of

BUDGET = Budget(loss=0.05, by="mean")


@pytest.fixture(scope="module", autouse=True)
def _pretended_costs():
    """Measuring takes a process of its own; here a model takes a millisecond for each 10 kB."""

    def pretend(served, requests):
        sizes = {name: (path / "model.safetensors").stat().st_size / 1e4 for name, path in served.items()}
        return {name: pretended(ms) for name, ms in sizes.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "measure", pretend)
        patch.setattr(costs, "_exported", lambda *_: None)
        yield


def pretended(ms):
    return {"latency_ms": ms, "latency_p99_ms": ms, "energy_joules": ms, "energy_source": "an estimate: made up"}


def searched(run, told, **given):
    said = []
    subject = subject_of(run, epochs=1)
    found = search(subject, given.pop("out", run / "compressed"), told, say=said.append, quiet=True)
    return subject, found, said


@pytest.fixture(scope="module")
def done(finished, tmp_path_factory):
    """A search in which up to two points are trained again; not to be changed."""
    run = shutil.copytree(finished.folder, tmp_path_factory.mktemp("compress") / "run")
    subject, found, said = searched(run, Search(BUDGET, trainings=2))
    ship(found, subject, say=said.append)
    return run, subject, found, said


def worked(said):
    return [line.partition(":")[0] for line in said if line.endswith((": started", ": resumed"))]


def test_every_point_is_a_model_that_loads_and_weighs_what_was_told(done):
    _, _, found, _ = done
    assert len(found.points) > 6
    assert found.points[0].name == FIRST
    for point in found.points:
        loaded = Recommender.from_pretrained(found.artefacts[point.name])
        files = found.artefacts[point.name].iterdir()
        assert point.size_bytes == sum(file.stat().st_size for file in files)
        assert loaded.n_items == 24


def test_the_model_that_is_compressed_stays_as_it_was(done, finished):
    run, _, _, _ = done
    for file in (finished.folder / "artefact").iterdir():
        assert sha256_of_file(run / "artefact" / file.name) == sha256_of_file(file)


def test_the_chosen_model_moved_elsewhere_gives_the_same_figures(done, tmp_path):
    run, subject, found, _ = done
    moved = shutil.move(shutil.copytree(found.folder / "artefact", tmp_path / "copy"), tmp_path / "elsewhere")
    judged = judge(Recommender.from_pretrained(moved), load_prepared(run / "data"), subject.evaluate, on="validation")
    assert judged.mean("ndcg@10") == found.choice.point.score


def test_the_card_and_the_page_say_what_was_chosen_and_why(done):
    _, _, found, _ = done
    card = (found.folder / "artefact" / "README.md").read_text()
    assert found.choice.why[0] in card
    assert page(found) == (found.folder / "compression.md").read_text()
    told = json.loads((found.folder / "compression.json").read_text())
    assert told["chosen"] == found.choice.point.name
    assert (found.folder / told["artefacts"][told["chosen"]] / "model.safetensors").is_file()


def test_the_page_says_where_energy_is_from(done):
    assert "Energy: an estimate: made up." in page(done[2])


def test_the_plot_is_a_picture(done):
    _, _, found, _ = done
    assert (found.folder / PLOT).read_bytes().startswith(b"\x89PNG")


def test_a_second_search_tries_nothing_again(done):
    run, subject, found, said = done
    assert "points/int8" in worked(said)
    again = []
    second = search(subject, run / "compressed", Search(BUDGET, trainings=2), say=again.append, quiet=True)
    assert worked(again) == []
    assert second.points == found.points


def test_another_budget_needs_no_point_of_its_own_where_nothing_is_trained(done):
    run, subject, _, _ = done
    again = []
    told = Search(Budget(size_bytes=1), trainings=0)
    found = search(subject, run / "compressed", told, say=again.append, quiet=True)
    assert worked(again) in ([], ["costs/all"])
    assert found.choice.point is None
    assert found.choice.nearest.size_bytes == min(point.size_bytes for point in found.points)
    ship(found, subject, say=again.append)
    assert found.choice.why[0].endswith("no point keeps 1 B.")


def test_what_was_not_tried_says_why(done):
    _, _, found, _ = done
    assert set(found.left_out.values()) - {"has nothing to win back"}
    assert not set(found.left_out) & {point.name for point in found.points}


def test_an_interrupted_search_goes_on_where_it_stopped(copied, monkeypatch):
    real, calls = points.compress, []

    def interrupted(*given):
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(points, "compress", interrupted)
    told = Search(Budget(size_bytes=10**6), trainings=0)
    with pytest.raises(KeyboardInterrupt):
        searched(copied, told)
    _, _, said = searched(copied, told)
    assert "points/int4-table: resumed" in said
    assert "points/int8: done before, kept" in said


def test_what_does_not_apply_is_told_and_is_no_point(copied, monkeypatch):
    def refusing(recommender, methods, training):
        if methods:
            raise SettingsError("this one never applies")
        return recommender

    monkeypatch.setattr(points, "compress", refusing)
    _, found, _ = searched(copied, Search(Budget(size_bytes=10**6)))
    assert [point.name for point in found.points] == [FIRST]
    assert found.left_out["int8"] == "this one never applies"


def test_test_is_looked_at_for_the_chosen_point_alone(done):
    _, subject, found, _ = done
    compared, not_worse = judge_once(found, subject)
    assert compared.names == not_worse.names == (found.choice.nearest.name, "the uncompressed student")
    assert not_worse.margin == found.budget.loss
    assert sorted(path.name for path in (found.folder / "test").iterdir()) == ["chosen", "uncompressed"]


def test_what_is_chosen_is_shown_unless_the_mean_was_to_do(done):
    run, subject, by_mean, _ = done
    shown = search(subject, run / "compressed", Search(Budget(loss=0.05), trainings=2), say=str, quiet=True)
    assert shown.choice.point.loss_p < 0.05
    assert shown.choice.point.size_bytes >= by_mean.choice.point.size_bytes
    assert shown.points[0].loss_p == 0


def test_only_one_step_is_tried_where_that_is_asked(copied):
    _, found, _ = searched(copied, Search(Budget(loss=0.05), only="^int8$", everything=True))
    assert [point.name for point in found.points] == [FIRST, "int8", "int8, trained again"]
    assert found.left_out == {}


def test_an_artefact_with_its_data_and_knowledge_is_compressed_like_a_run(finished, tmp_path):
    run = finished.folder
    subject = subject_of(run / "artefact", data=run / "data", knowledge=[run / "knowledge"], epochs=1)
    assert subject.knowledge.digest() == subject_of(run, teacher="run").knowledge.digest()
    found = search(subject, tmp_path / "out", Search(Budget(loss=0.5), trainings=0), quiet=True, say=str)
    assert found.choice.point is not None


def test_points_are_taught_by_the_student_itself_unless_its_teacher_is_asked_for(finished):
    run = finished.folder
    itself, by_run = subject_of(run), subject_of(run, teacher="run")
    alone = subject_of(run / "artefact", data=run / "data")
    assert (itself.knowledge, itself.distil, alone.knowledge, alone.distil) == ("itself", None, "itself", None)
    assert by_run.distil is not None
    assert points.what_decides(itself)["training"] != points.what_decides(by_run)["training"]
    with pytest.raises(SettingsError, match="is a model without its run; give what its teacher said: --knowledge"):
        subject_of(run / "artefact", data=run / "data", teacher="run")


def test_training_goes_on_for_three_eighths_of_the_epochs(finished):
    assert subject_of(finished.folder).train.epochs == 1  # of 2, and never none
    assert subject_of(finished.folder, epochs=7).train.epochs == 7


def test_what_is_only_rounded_is_trained_in_smaller_steps(finished):
    subject, rungs = subject_of(finished.folder), {rung.name: rung.trained() for rung in ladder_of(finished)}
    for name, step in (("int4 table", 0.15), ("codebooks of 2", 1.0), ("width 4, int8", 1.0)):
        trained = points.retraining_of(subject, rungs[name].step, finished.folder, quiet=True).train
        assert trained.learning_rate == pytest.approx(step * 0.001)


def ladder_of(run):
    return ladder(Recommender.from_pretrained(run.artefact))


def test_what_cannot_be_compressed_is_refused(finished, copied, tmp_path):
    run = finished.folder
    with pytest.raises(SettingsError, match=r"is a model without its data; give the prepared data .*: --data FOLDER"):
        subject_of(run / "artefact")
    with pytest.raises(SettingsError, match=r"is a run, which has its own data and knowledge; leave out --data"):
        subject_of(run, data=run / "data")
    with pytest.raises(ArtifactError, match="is neither a run's folder nor a saved model"):
        subject_of(tmp_path)
    shutil.rmtree(copied / "artefact")
    with pytest.raises(ArtifactError, match="has no distilled student yet; finish it first: distilrec run"):
        subject_of(copied)


def test_data_of_another_catalogue_is_refused(finished, tmp_path):
    first = Recommender.from_pretrained(finished.folder / "artefact")
    Recommender(first.model, first.items.reverse()).save_pretrained(tmp_path / "other")
    with pytest.raises(ArtifactError, match="ranks another catalogue"):
        subject_of(tmp_path / "other", data=finished.folder / "data")


def test_folders_in_use_are_refused(done, finished, tmp_path):
    run, subject, _, _ = done
    told = Search(Budget(loss=0.1), trainings=0)
    with pytest.raises(ArtifactError, match="holds a run or a model, which is not to be altered; give another --out"):
        search(subject, run, told)
    with pytest.raises(ArtifactError, match="holds the model itself, which is not to be altered"):
        search(subject, subject.artefact, told)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ArtifactError, match=r"holds thesis\.txt and no run"):
        search(subject, tmp_path / "mine", told)
    other = subject_of(run / "student_alone" / "seed-0" / "artefact", data=run / "data")
    with pytest.raises(ArtifactError, match=r"holds points of another student .* Nothing in it was changed"):
        search(other, run / "compressed", told)

"""What is exported says what the model says, or is not written."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from distilrec.compress.quantise import quantise
from distilrec.errors import ArtifactError, SettingsError
from distilrec.export.encoder import encoder_graph
from distilrec.exported import read_export
from distilrec.files import read_json
from distilrec.models.popularity import Popularity
from distilrec.recommender import Recommender
from distilrec.run import exporting
from distilrec.run.exporting import ExportSettings, export
from distilrec.serve.all_in_one import AllInOne
from distilrec.serve.runtime import Runtime
from distilrec.types import Batch, Ragged
from served_models import ITEMS, KINDS, MAX_LENGTH, N_ITEMS, QUICK, histories, recommender, student

EVERY = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in KINDS]


def whole(folder):
    graph = (folder / "all_in_one.onnx").read_bytes()
    return AllInOne(graph, n_items=N_ITEMS, max_length=MAX_LENGTH)


@pytest.mark.parametrize("name", EVERY)
def test_scores_are_those_of_torch_for_any_number_of_histories_of_any_length(shared_exports, name):
    runtime, model = Runtime.load(shared_exports(name)), recommender(name)
    for lengths in ([1], [2], [MAX_LENGTH], [9], [3, 1, MAX_LENGTH, 8]):
        batch = Batch.of(histories(*lengths))
        np.testing.assert_allclose(runtime.scores(batch), model.scores(batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_the_graph_that_holds_all_gives_the_models_own_lists_without_the_history(shared_exports, name):
    graph, model = whole(shared_exports(name)), recommender(name)
    asked = histories(3, 1, 5)
    batch = Batch.of(asked)
    best, scores = graph.best(batch.items, batch.lengths, 4)
    expected = model.recommend([ITEMS["item_id"].gather(rows).to_list() for rows in asked], k=4)
    assert (best + 100).ravel().tolist() == expected["item_id"].to_list()
    np.testing.assert_allclose(scores.ravel(), expected["score"].to_numpy(), rtol=1e-4, atol=1e-4)


def test_padding_is_no_item_of_the_history(shared_exports):
    items, lengths = np.array([[5, 0, 0]]), np.array([1])
    best, _ = whole(shared_exports("transformer")).best(items, lengths, N_ITEMS - 1)
    assert 0 in best[0]
    assert 5 not in best[0]


@pytest.mark.parametrize(
    "form", [pytest.param("half", marks=pytest.mark.slow), "int8", pytest.param("int4", marks=pytest.mark.slow)]
)
def test_a_compressed_model_is_exported_as_it_is_stored_and_says_how_far_it_is_from_the_first(tmp_path, form):
    first = recommender("transformer")
    quantise(first, form).save_pretrained(tmp_path / "small")
    settings = ExportSettings(histories=20)
    report = export(tmp_path / "small", tmp_path / "out", settings, histories=histories(3, 4, 2), against=first)
    runtime, small = Runtime.load(tmp_path / "out"), Recommender.from_pretrained(tmp_path / "small")
    batch = Batch.of(histories(3, 2))
    np.testing.assert_allclose(runtime.scores(batch), small.scores(batch), rtol=1e-4, atol=1e-4)
    assert [one.name for one in report.parities] == [
        "ONNX beside torch",
        "all-in-one graph beside torch",
        "ONNX, compressed, beside torch, not compressed",
    ]
    assert report.parities[0].largest_difference < 1e-4 < report.parities[2].largest_difference
    assert "validation users" in report.lines()[-1]
    size = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert size["model.safetensors"] == (tmp_path / "small" / "model.safetensors").stat().st_size


def test_the_certificate_lies_in_the_folder(shared_exports):
    certificate = read_json(shared_exports("transformer") / "parity.json")
    assert not certificate["real_histories"]
    assert [one["histories"] for one in certificate["compared"]] == [20, 20]
    assert all(one["overlap"] == one["same_first"] == 1 for one in certificate["compared"])


def test_graphs_that_say_something_else_are_not_written(shared_exports, tmp_path, monkeypatch):
    other = recommender("transformer")
    for parameter in other.model.norm.parameters():
        parameter.data += 1
    other.save_pretrained(tmp_path / "model")
    graph = (shared_exports("transformer") / "encoder.onnx").read_bytes()
    monkeypatch.setattr(exporting, "encoder_graph", lambda _: graph)
    with pytest.raises(ArtifactError, match=r"does not say what the model says: ONNX beside torch: .* Nothing was wri"):
        export(tmp_path / "model", tmp_path / "out", ExportSettings(histories=5))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_that_is_no_product_is_refused_with_what_to_do(tmp_path):
    model = Popularity.fit(Ragged.of([[0, 1]]), n_items=N_ITEMS)
    Recommender(model, ITEMS).save_pretrained(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"a popularity is not exported: .* Distil a student from it"):
        export(tmp_path / "model", tmp_path / "out")


def test_where_it_may_not_be_written_it_is_not(tmp_path):
    recommender("two_tower").save_pretrained(tmp_path / "model")
    with pytest.raises(SettingsError, match="is the model itself; export to another folder"):
        export(tmp_path / "model", tmp_path / "model")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="mine is there and is no exported model; name another folder"):
        export(tmp_path / "model", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_histories_of_another_catalogue_are_refused(transformer, tmp_path):
    with pytest.raises(ArtifactError, match="the histories name item 30, and the model ranks 30 items: they are of"):
        export(transformer, tmp_path / "out", histories=[np.array([N_ITEMS])])


@pytest.mark.parametrize("name", ["encoder.onnx", "all_in_one.onnx", "config.json", "parity.json", "items.parquet"])
def test_a_damaged_file_is_named(shared_exports, tmp_path, name):
    copy = shutil.copytree(shared_exports("transformer"), tmp_path / "copy")
    damaged = bytearray((copy / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (copy / name).write_bytes(bytes(damaged))
    with pytest.raises(ArtifactError, match=rf"{name} was altered or cut short"):
        read_export(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=rf"{name} is missing; the folder is not whole"):
        read_export(copy)


def test_a_folder_that_is_not_exported_is_told_the_command(tmp_path):
    recommender("two_tower").save_pretrained(tmp_path / "model")
    with pytest.raises(ArtifactError, match="holds a model that is not exported; run: distilrec export"):
        Runtime.load(tmp_path / "model")
    with pytest.raises(ArtifactError, match="absent does not exist; expected a folder that `distilrec export` wrote"):
        Runtime.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"format_version": 9}, "was exported in version 9; this distilrec reads up to 2"),
        ({"format_version": "x"}, "is damaged: it says version 'x'"),
        ({"sha256": {}}, "has no digest of config.json"),
        ({"max_length": None}, "lacks input_table or max_length"),
    ],
)
def test_what_export_json_says_is_checked(shared_exports, tmp_path, changed, told):
    copy = shutil.copytree(shared_exports("transformer"), tmp_path / "copy")
    about = json.loads((copy / "export.json").read_text()) | changed
    (copy / "export.json").write_text(json.dumps(about))
    with pytest.raises(ArtifactError, match=told):
        read_export(copy)


def test_the_card_of_the_model_is_kept_and_says_how_far_apart_they_are(transformer, tmp_path):
    settings = ExportSettings(histories=3, all_in_one=False)
    report = export(transformer, tmp_path / "out", settings)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("# Mine\n\nWhat it is for.\n\n## Parity\n\n- ONNX beside torch: scores at most ")
    assert report.lines()[-1] == "Parity was looked at on histories of made-up users, since no data was given."
    assert report.lines()[-1] in card
    assert not (tmp_path / "out" / "all_in_one.onnx").exists()
    assert Recommender.from_pretrained(tmp_path / "out").n_items == N_ITEMS


def test_an_export_can_be_exported_again_and_says_it_once(transformer, tmp_path):
    export(transformer, tmp_path / "out", ExportSettings(histories=3))
    export(tmp_path / "out", tmp_path / "again", ExportSettings(histories=4))
    assert (tmp_path / "again" / "README.md").read_text().count("## Parity") == 1
    export(tmp_path / "again", tmp_path / "out", ExportSettings(histories=4, all_in_one=False))
    assert read_export(tmp_path / "out").max_length == MAX_LENGTH
    assert not (tmp_path / "out" / "all_in_one.onnx").exists()


def test_a_model_is_compared_with_one_of_its_own_catalogue(transformer, tmp_path):
    other = Recommender(recommender("transformer").model, ITEMS.with_columns(pl.col("item_id") + 1))
    with pytest.raises(ArtifactError, match="before it was compressed ranks 30 items and this one 30, or others"):
        export(transformer, tmp_path / "out", ExportSettings(histories=3, all_in_one=False), against=other)
    assert not (tmp_path / "out").exists()


def test_a_model_that_torch_makes_no_graph_of_is_refused_with_its_kind():
    model = student("two_tower")
    model.read = lambda vectors: vectors if bool(vectors.sum() > 0) else -vectors
    with pytest.raises(ArtifactError, match=r"(?s)torch makes no graph of a two_tower: .*Distil a student from it"):
        encoder_graph(model)

"""What a search tries, without training and with it, and candidates of one's own."""

import polars as pl
import pytest
import torch

from distilrec.compress.ladder import ladder, matching, read_candidates
from distilrec.compress.methods import compress
from distilrec.compress.prune_layers import PruneLayers
from distilrec.compress.prune_units import PruneUnits
from distilrec.compress.quantise import Quantise
from distilrec.compress.quantise_aware import QuantiseAware
from distilrec.compress.share import ShareLayers
from distilrec.errors import SettingsError
from distilrec.models.popularity import Popularity
from distilrec.models.students import build_student, preset
from distilrec.recommender import Recommender
from distilrec.types import Ragged


def student(**changes):
    torch.manual_seed(0)
    model = build_student(preset("transformer", "tiny").with_changes(width=16, max_length=4, **changes), 300)
    return Recommender(model.fold(), pl.DataFrame({"item_id": range(300), "train_count": [1] * 300}))


def test_halves_and_codes_follow_the_width():
    names = [rung.name for rung in ladder(student())]
    assert {
        "int4 table by 16 columns",
        "width 8, int8",
        "rank 8, int4",
        "codebooks of 4",
        "codebooks of 2",
        "codebooks of 1",
    } < set(names)
    assert len(set(names)) == len(names)


def test_layers_are_left_out_and_shared_where_there_are_several():
    def shapes(recommender):
        return {type(shape) for rung in ladder(recommender) for shape in rung.shapes}

    assert {PruneLayers, ShareLayers} <= shapes(student(blocks=2))
    assert not {PruneLayers, ShareLayers} & shapes(student(blocks=1))


def test_half_of_layers_and_units_go_together_where_there_are_several_layers():
    (rung,) = matching(ladder(student(blocks=4)), "layers and units")
    assert rung.shapes == (PruneLayers(keep=2, retrain=False), PruneUnits(share=0.5, retrain=False))
    assert [method.kind for method in rung.trained().methods] == ["prune_layers", "prune_units", "quantise_aware"]


def test_one_step_can_be_asked_for_by_its_name():
    rungs = ladder(student())
    assert [rung.name for rung in matching(rungs, "^int8$")] == ["int8"]
    assert {"int4 table", "width 8, int4 table"} <= {rung.name for rung in matching(rungs, "int4 table")}
    with pytest.raises(SettingsError, match="--only 'int5' matches nothing of what is tried: half precision; int8;"):
        matching(rungs, "int5")
    with pytest.raises(SettingsError, match=r"--only '\(' is no regular expression: missing \), unterminated"):
        matching(rungs, "(")


def test_a_model_without_width_is_quantised_only_in_ways_that_need_none():
    counts = Popularity.fit(Ragged.of([[0, 1]]), n_items=2)
    names = [
        rung.name for rung in ladder(Recommender(counts, pl.DataFrame({"item_id": [0, 1], "train_count": [1, 1]})))
    ]
    assert "int8" in names
    assert not [name for name in names if "width" in name or "columns" in name or "codebooks" in name]


def test_training_changes_neither_shape_nor_forms():
    for rung in ladder(student()):
        plain, trained = rung.untrained().methods[-1], rung.trained().methods[-1]
        assert (type(plain), type(trained)) == (Quantise, QuantiseAware)
        assert (plain.table, plain.matrices, plain.vectors) == (trained.table, trained.matrices, trained.vectors)
        assert rung.trained().trained
        assert rung.trained().folder == f"{rung.untrained().folder}-trained-again"


def test_every_rung_of_plain_rounding_is_smaller_than_half_precision():
    first = student()
    rungs = {rung.name: rung for rung in ladder(first) if not rung.shapes}
    sizes = {name: compress(first, rung.untrained().methods).packed.nbytes() for name, rung in rungs.items()}
    assert sizes.pop("half precision") > max(sizes.values())


def written(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_candidates_of_ones_own_are_methods_by_their_kind(tmp_path):
    path = written(tmp_path, "sparse: [{kind: prune_weights, share: 0.9}, {kind: quantise}]\nplain: [{kind: quantise}]")
    sparse, plain = read_candidates(path, ladder(student()))
    assert (sparse.name, sparse.methods[0].share, sparse.trained) == ("sparse", 0.9, True)
    assert (plain.methods, plain.trained) == ((Quantise(),), False)


def test_a_candidate_told_not_to_train_counts_as_untrained(tmp_path):
    path = written(tmp_path, "sparse: [{kind: prune_weights, retrain: false}]")
    assert not read_candidates(path, [])[0].trained


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("int8: [{kind: quantise}]", "'int8' is taken; choose another"),
        ("uncompressed: [{kind: quantise}]", "'uncompressed' is taken"),
        ("a/b: [{kind: quantise}]", "'a/b' is no name for a candidate; choose another, of letters, digits"),
        ("mine: [{kind: squeeze}]", "mine: methods.0: unknown kind of compression; known: quantise, "),
        ("mine: [{kind: quantise, tabel: int4}]", "unknown setting 'methods.0.tabel'; did you mean 'table'"),
        ("mine: []", "mine.yaml: mine: methods: Tuple should have at least 1 item"),
    ],
)
def test_candidates_that_make_no_sense_are_refused(tmp_path, text, told):
    with pytest.raises(SettingsError, match=told):
        read_candidates(written(tmp_path, text), ladder(student()))

"""`make bench-peers` with a peer that is installed already: popularity, in a process of its own."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))
import side_by_side
from known import PEERS, Peer
from sequences import write_sequences
from table import sentences

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.errors import DataError
from distilrec.run.stages import Prepared
from distilrec.types import Cases, Ragged
from models import cell_names, own_folders

POPULARITY = """
import json, sys
from pathlib import Path
import numpy as np
from files import ndcg_at_10, read, write_report, write_vectors

heard, folder, settings = read(Path(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
counts = np.bincount(np.concatenate(heard.train), minlength=heard.n_items).astype(np.float32)
items, known = counts[:, None], counts > 0
ones = {split: np.ones((len(getattr(heard, split).users), 1), np.float32) for split in ("validation", "test")}
(folder / "epoch-2").mkdir(exist_ok=True)
write_vectors(folder / "epoch-2", items, known, ones)
score = ndcg_at_10(ones["validation"], items, heard.validation)
write_report(folder, parameters=heard.n_items, library="Popular 1.0", answers="epoch-2", epochs=3, best_epoch=2,
             seconds=6.0, validation=[0.0, score, 0.0], finished=settings["minutes"] >= settings["needs"])
"""


@pytest.fixture
def bench(small, theirs, tmp_path, monkeypatch, capsys):
    """Runs the benchmark over the small world, with one peer."""
    (theirs / "popularity.py").write_text(POPULARITY)
    recipe = tmp_path / "recipes" / "teachers" / "beauty.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(f"data: {{path: {small.folder}/world}}")
    monkeypatch.chdir(tmp_path)

    def call(*options, needs=0):
        peer = Peer("Popular", "implicit", ("popularity.py", "files.py"), {"beauty": {"needs": needs}}, "here")
        monkeypatch.setitem(PEERS, "als", peer)
        side_by_side.main(["beauty", "--peers", "als", "--without-their-metrics", *options])
        return capsys.readouterr().out

    return call


def test_a_peer_is_trained_once_and_stands_beside_our_models(bench, finished, tmp_path):
    asked = ["--ours", str(finished.folder)]
    said = bench(*asked)
    assert "peers/als: done" in said
    page = (tmp_path / "benchmarks" / "results" / "peers-beauty.md").read_text()
    assert "| Popular | Popular 1.0 | 24 | 0.0 | 2 of 3 | 0.1 |" in page
    ours = [float(line.split("|")[7].split()[0]) for line in page.splitlines() if "DistilRec |" in line]
    assert len(ours) > 1
    assert ours == sorted(ours, reverse=True)  # best on validation first
    assert "None of our models here is as small as Popular." in said
    assert "peers/als: done before, kept" in bench(*asked)
    folder = tmp_path / "runs" / "peers" / "beauty"
    theirs = json.loads((folder / "peers" / "als" / "report.json").read_text())["validation"][1]
    judged = json.loads((folder / "judged" / "peers" / "als" / "validation" / "summary.json").read_text())
    assert judged["metrics"]["ndcg@10"]["mean"] == pytest.approx(theirs)  # what it chose by is what we report


RECIPE = """
name: small
prepared: {data}
teacher: {{kind: ids}}
students: {{tiny: {{model: {{width: 8}}}}}}
methods: {{soft_labels: {{distil: {{alpha: 0.5}}}}}}
"""


def test_students_of_a_proof_are_called_by_their_cells(bench, finished, tmp_path):
    recipe, proof = tmp_path / "recipes" / "quality" / "beauty.yaml", Path("runs/quality/beauty")
    recipe.parent.mkdir(parents=True)
    recipe.write_text(RECIPE.format(data=finished.folder / "data"))
    assert cell_names(recipe, proof) == {}
    (proof / "cells" / "another").mkdir(parents=True)
    place = next(place for place, name in cell_names(recipe, proof).items() if name == "tiny/alone/0")
    for folder in (place, proof / "cells" / "another" / "trained"):
        shutil.copytree(next(iter(own_folders([finished.folder]).values())), folder)
    bench("--ours", str(proof))
    page = (tmp_path / "benchmarks" / "results" / "peers-beauty.md").read_text()
    assert "| tiny/alone/0 | DistilRec |" in page
    assert "| beauty/cells/another/trained | DistilRec |" in page


def test_cells_of_another_proof_carry_its_name(bench, finished, tmp_path):
    recipe, proof = tmp_path / "recipes" / "quality" / "another.yaml", Path("runs/quality/another")
    recipe.parent.mkdir(parents=True)
    recipe.write_text(RECIPE.format(data=finished.folder / "data"))
    (proof / "cells").mkdir(parents=True)
    place = next(place for place, name in cell_names(recipe, proof).items() if name == "tiny/alone/0")
    shutil.copytree(next(iter(own_folders([finished.folder]).values())), place)
    bench("--ours", str(proof))
    page = (tmp_path / "benchmarks" / "results" / "peers-beauty.md").read_text()
    assert "| another/tiny/alone/0 | DistilRec |" in page


def test_a_peer_without_settings_for_a_data_set_is_not_trained_on_it(bench, monkeypatch):
    monkeypatch.setitem(PEERS, "ease", Peer("Idle", "implicit", ("popularity.py",), {"ml-1m": {}}, "here"))
    assert "peers/ease" not in bench("--ours", "--peers", "als", "ease")


def test_other_settings_train_anew(bench):
    assert "peers/als: started" in bench("--ours")
    assert "peers/als: started" in bench("--ours", needs=1)


def test_a_training_whose_minutes_are_over_is_marked_and_gone_on_with(bench, tmp_path):
    page = tmp_path / "benchmarks" / "results" / "peers-beauty.md"
    said = bench("--ours", "--minutes", "4", needs=5)
    assert "Popular: 3 epochs are not all it can learn; the same command goes on" in said
    assert "Popular was cut off before it had learnt all, so nothing is said of who is ahead." in said
    assert "| 2 of 3, unfinished |" in page.read_text()
    said = bench("--ours", "--minutes", "5", needs=5)
    assert "peers/als: resumed" in said
    assert "cut off" not in said
    assert "unfinished" not in page.read_text()


def test_print_trains_nothing(bench):
    assert "nothing is trained yet" in bench("--ours", "--print")


def test_a_program_that_fails_is_told(bench, tmp_path):
    (tmp_path / "theirs" / "popularity.py").write_text("raise SystemExit(3)")
    with pytest.raises(SystemExit, match="a peer's program ended with 3"):
        bench("--ours")


def test_sequences_are_row_numbers_in_parquet(tmp_path):
    cases = Cases(np.array([0, 1]), Ragged.of([[0, 1], [2]]), Ragged.of([[2], [0]]))
    write_sequences(prepared(cases), tmp_path)
    assert pl.read_parquet(tmp_path / "train.parquet").to_dict(as_series=False) == {"user": [0, 1], "items": [[0], [2]]}
    asked = {"user": [0, 1], "history": [[0, 1], [2]], "relevant": [[2], [0]]}
    assert pl.read_parquet(tmp_path / "test.parquet").to_dict(as_series=False) == asked
    assert pl.read_parquet(tmp_path / "test.parquet").schema["relevant"] == pl.List(pl.Int64)  # and no fixed length
    assert json.loads((tmp_path / "about.json").read_text())["n_items"] == 3


def test_a_case_with_several_answers_is_refused(tmp_path):
    cases = Cases(np.array([0]), Ragged.of([[0]]), Ragged.of([[1, 2]]))
    with pytest.raises(DataError, match="1 cases ask for more than one item"):
        write_sequences(prepared(cases), tmp_path)


def prepared(cases):
    events = pl.DataFrame({"user": [0, 1], "item": [0, 2], "timestamp": [None, None], "weight": [1.0, 1.0]})
    log = Interactions(
        events.cast({"timestamp": pl.Int64}),
        users=pl.DataFrame({"user_id": [5, 6]}),
        items=pl.DataFrame({"item_id": [10, 11, 12]}),
    )
    return Prepared(log, Split(Ragged.of([[0], [2]]), np.array([0, 1]), cases, cases, []))


def test_every_peer_has_pins_of_one_version_each_and_scripts_that_are_there():
    for peer in PEERS.values():
        pins = side_by_side.pins(peer.environment).read_text().split()
        assert all(pin.count("==") == 1 for pin in pins)
        assert len({pin.partition("==")[0].lower() for pin in pins}) == len(pins)
        assert all((side_by_side.THEIRS / script).is_file() for script in peer.scripts)
        assert set() < set(peer.settings) <= {"beauty", "ml-1m"}


def test_all_that_a_peers_program_imports_of_ours_is_part_of_its_key():
    known = {file.stem: file.name for file in side_by_side.THEIRS.glob("*.py")}
    for peer in PEERS.values():
        for script in peer.scripts:
            words = re.findall(r"^(?:from|import) (\w+)", (side_by_side.THEIRS / script).read_text(), re.MULTILINE)
            assert {known[word] for word in words if word in known} <= set(peer.scripts), script


def test_models_half_done_are_not_in_the_table(tmp_path):
    for name in ("whole", "half.partial"):
        (tmp_path / name / "artefact").mkdir(parents=True)
        for file in ("training.json", "stage.json"):
            (tmp_path / name / file).touch()
    assert list(own_folders([tmp_path])) == [f"{tmp_path.name}/whole"]


def test_models_of_one_name_in_two_roots_both_have_their_whole_path(tmp_path):
    roots = [tmp_path / "one" / "beauty", tmp_path / "two" / "beauty"]
    for root in roots:
        (root / "student" / "artefact").mkdir(parents=True)
        for name in ("training.json", "stage.json"):
            (root / "student" / name).write_text("{}")
    (tmp_path / "one" / "beauty" / "student").rename(roots[0] / "teacher")
    assert list(own_folders(roots)) == ["beauty/teacher", "beauty/student"]
    (roots[0] / "teacher").rename(roots[0] / "student")
    assert list(own_folders([*roots, roots[0]])) == [str(root / "student") for root in roots]


def test_nothing_is_said_of_no_models():
    assert sentences([], {}) == []

"""What each library has learnt after each epoch, trained here by ours and by a peer that is no library."""

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))
import side_by_side
from equal_epochs import EqualEpochs, show
from known import PEERS, Peer

HALVES = """
import json, sys
from pathlib import Path
from files import write_report

folder, settings = Path(sys.argv[2]), json.loads(sys.argv[3])
done = min(settings["epochs"], int(settings["minutes"]))
write_report(folder, validation=[0.5] * done, seconds_an_epoch=[2.0] * done, epochs=done,
             finished=done == settings["epochs"])
"""


@pytest.fixture
def work(small, theirs, tmp_path, monkeypatch):
    """Makes the benchmark over the small world, with one peer."""
    (theirs / "halves.py").write_text(HALVES)
    monkeypatch.setitem(PEERS, "recbole", Peer("Halves", "implicit", ("halves.py", "files.py"), {}, "here"))

    def make(minutes):
        options = {"data": small.folder / "world", "epochs": 3, "peers": ["RecBole cross-entropy"], "threads": 1}
        return EqualEpochs(argparse.Namespace(**options, minutes=minutes, venvs=tmp_path, out=tmp_path / "out"))

    return make


def test_every_library_has_a_column_and_every_epoch_a_row(work, capsys):
    first = work(minutes=3)
    first.train()
    curves = first.curves()
    assert list(curves) == ["ours", "ours, input norm", "RecBole cross-entropy"]
    plain, normed = (curves[name]["validation"] for name in ("ours", "ours, input norm"))
    assert len(plain) == len(normed) == 3
    assert plain != normed
    assert max(plain) > 0
    show(curves)
    said = capsys.readouterr().out
    assert "RecBole cross-entropy" in said
    assert said.count("0.5000") == 3
    first.train()
    assert capsys.readouterr().out.count("done before, kept") == 3


def test_a_peer_that_was_cut_off_is_shown_as_far_as_it_came(work, capsys):
    first = work(minutes=2)
    with pytest.raises(side_by_side.CutOff, match="Halves: 2 epochs are not all it can learn"):
        first.train()
    show(first.curves())
    assert capsys.readouterr().out.count("0.5000") == 2
    again = work(minutes=3)
    again.train()
    assert len(again.curves()["RecBole cross-entropy"]["validation"]) == 3


def test_nothing_is_shown_of_nothing(work, capsys):
    show(work(minutes=3).curves())
    assert "nothing is trained yet" in capsys.readouterr().out

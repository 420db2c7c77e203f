"""The table of a proof, worked out by hand, whole and in part, and as people and programs read it."""

import sys
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from quality_worlds import SOFT, recipe, student

from distilrec.errors import MissingExtraError
from distilrec.evaluate.compare import compare
from distilrec.evaluate.evaluation import Evaluation
from distilrec.run.quality.cells import Cell
from distilrec.run.quality.frames import frame_of_cells, frame_of_users
from distilrec.run.quality.judging import Judged, Outcome
from distilrec.run.quality.page import markdown, notes, sentences, shuffled_sentence, text_cells
from distilrec.run.quality.plots import plot_curves, plot_size
from distilrec.run.quality.table import make_table

PROTOCOL = {"split": "test", "exclude_history": True, "n_items": 50, "ties": "against the model", "cases": "abc"}
USERS = 400


def evaluation(share, *, offset=0):
    """This share of the users has found everything, and the others nothing."""
    found = (np.arange(USERS) < share * USERS).astype(float)
    columns = {"user": range(USERS), "history_length": [3] * USERS, "n_relevant": [1] * USERS}
    return Evaluation(pl.DataFrame({**columns, "ndcg@10": np.roll(found, offset), "recall@10": found}), PROTOCOL)


def done(method, share, *, seed=0, who="small", **changes):
    facts = {
        "parameters": 1000,
        "validation": share + 0.01,
        "test": evaluation(share),
        "tail": share / 2,
        "coverage": 0.5,
        "cell": Cell(who, method, seed),
        "best_epoch": 2,
        "curve": [0.0, share + 0.01, 0.1],
        "seconds_an_epoch": 2.0,
    }
    return Outcome(**{**facts, **changes})


def teacher(share):
    return {"teacher": Judged(9000, share, evaluation(share), None, 0.75)}


TOLD = recipe(methods={"soft": SOFT, "warm": SOFT}, students=student() | {"other": {}})


def whole():
    """Alone .25, taught .50 and .75, by a teacher of .75; the shuffled one .25."""
    outcomes = [
        done("alone", 0.25),
        done("soft", 0.5, seconds_an_epoch=3.0),
        done("warm", 0.75, validation=0.4),
        done("shuffled_teacher", 0.25),
    ]
    return make_table(TOLD, outcomes, teacher(0.75))


# ---- numbers


def test_the_gain_and_the_share_of_the_lead_are_against_the_same_student_alone():
    row = whole().row("small", "soft")
    assert row.gain.means == (0.5, 0.25)
    assert row.share_of_lead == 0.5
    assert row.slowdown == 1.5
    assert row.gain.result == compare(evaluation(0.5), evaluation(0.25)).result
    assert whole().row("small", "warm").share_of_lead == 1.0
    alone = whole().row("small", "alone")
    assert (alone.gain, alone.share_of_lead, alone.slowdown) == (None, None, None)


def test_several_seeds_are_averaged_user_by_user_and_compared_with_the_same_seeds_alone():
    outcomes = [done("alone", share, seed=seed) for seed, share in enumerate([0.1, 0.3, 0.8])]
    outcomes += [done("soft", share, seed=seed) for seed, share in enumerate([0.3, 0.5])]
    table = make_table(TOLD, outcomes, teacher(0.6))
    alone, soft = table.row("small", "alone"), table.row("small", "soft")
    assert (alone.seeds, soft.seeds) == ((0, 1, 2), (0, 1))
    assert alone.interval.mean == pytest.approx(0.4)
    assert soft.interval.mean == pytest.approx(0.4)
    assert soft.gain.means == pytest.approx((0.4, 0.2))  # alone from seeds 0 and 1
    assert soft.share_of_lead == pytest.approx(0.5)
    assert soft.tail == pytest.approx(0.2)
    assert soft.validation == pytest.approx(0.41)


def test_what_is_not_done_is_left_out_and_nothing_is_compared_with_it():
    table = make_table(TOLD, [done("soft", 0.5), done("alone", 0.25, seed=1)], {})
    assert [row.method for row in table.rows] == ["alone", "soft"]
    soft = table.row("small", "soft")
    assert (soft.gain, soft.share_of_lead, soft.slowdown) == (None, None, None)
    assert table.row("other", "soft") is None
    assert table.best("other") is None


def test_nothing_done_is_an_empty_table():
    table = make_table(TOLD, [], {})
    assert text_cells(table)[1] == []
    assert sentences(table) == ["The shuffled teacher must not help: not known yet."]
    assert notes(table) == ["No cell is done yet."]


def test_the_best_method_is_chosen_on_validation_and_never_among_controls():
    """`warm` is better on test, and its validation is worse."""
    outcomes = [done("alone", 0.9), done("soft", 0.5), done("warm", 0.75, validation=0.4)]
    assert make_table(TOLD, outcomes, {}).best("small").method == "soft"


# ---- for people


def test_a_row_reads_as_it_should():
    head, rows = text_cells(whole())
    row = dict(zip(head, rows[2], strict=True))
    interval = evaluation(0.5).interval("ndcg@10")
    assert row == {
        "student": "small",
        "parameters": "1,000",
        "method": "soft",
        "seeds": "0",
        "validation NDCG@10": "0.5100",
        "test NDCG@10 [95 %]": f"0.5000 [{interval.low:.4f}, {interval.high:.4f}]",
        "Recall@10": "0.5000",
        "coverage@10": "50.0 %",
        "tail NDCG@10": "0.2500",
        "against alone": "+100.0 % (p = 0.0005)",
        "teacher's lead": "50 %",
        "time an epoch": "1.50x",
    }
    assert [row[2] for row in rows] == ["teacher", "alone", "soft", "warm", "shuffled_teacher (control)"]
    assert rows[0][:2] == ["-", "9,000"]
    assert rows[1][-3:] == ["-", "-", "-"]


def test_against_a_student_that_finds_nothing_alone_there_is_no_percentage():
    table = make_table(TOLD, [done("alone", 0.0), done("soft", 0.5)], {})
    assert text_cells(table)[1][1][-3] == "-"


def test_the_best_method_is_told_with_its_evidence():
    told = sentences(whole())
    assert told[0].startswith("Best on validation for small: soft. small with soft is better than small alone by 0.25")
    assert told[1].startswith("small with soft is worse than its teacher by 0.2500 NDCG@10 (-33.3 %)")


def test_a_method_with_another_teacher_is_measured_against_that_one():
    methods = {"soft": SOFT, "from_ease": SOFT | {"teacher": "ease"}}
    settings = recipe(methods=methods, students=student(), other_teachers={"ease": {"kind": "ease"}})
    of_both = teacher(0.75) | {"ease": Judged(500, 0.5, evaluation(0.5), None, 0.5)}
    table = make_table(settings, [done("alone", 0.25), done("soft", 0.5), done("from_ease", 0.625)], of_both)
    assert (table.row("small", "soft").share_of_lead, table.row("small", "from_ease").share_of_lead) == (0.5, 1.5)
    told = sentences(table)
    assert told[1].startswith("small with from_ease is better than its teacher ease by 0.1250 NDCG@10")
    first = make_table(settings, [done("alone", 0.25), done("soft", 0.7), done("from_ease", 0.625)], of_both)
    assert [line.split(" by ")[0] for line in sentences(first)[1:3]] == [
        "small with soft is worse than its teacher",
        "small with from_ease is better than its teacher ease",
    ]


def test_a_shuffled_teacher_that_did_not_help_is_said_so():
    told = shuffled_sentence(whole())
    assert told.startswith("The shuffled teacher must not help: it did not. No difference: small with shuffled_teacher")


def test_a_shuffled_teacher_that_helped_is_cried_out():
    outcomes = [done(name, share, who=who) for who in ("small", "other") for name, share in [("alone", 0.25)]]
    outcomes += [done("shuffled_teacher", 0.5), done("shuffled_teacher", 0.2, who="other")]
    told = shuffled_sentence(make_table(TOLD, outcomes, {}))
    assert told.startswith(
        "The shuffled teacher must not help: BUT IT DID for small. small with shuffled_teacher is be"
    )
    assert "other with shuffled_teacher is worse than other alone" in told


def test_every_method_that_shuffles_is_such_a_control():
    told = recipe(methods={"soft": SOFT, "mixed_up": {**SOFT, "shuffled": True, "control": True}})
    table = make_table(told, [done("alone", 0.25), done("mixed_up", 0.5)], {})
    assert "BUT IT DID for small. small with mixed_up is better" in shuffled_sentence(table)


def test_the_page_has_the_table_what_follows_and_how_it_was_made():
    page = markdown(whole(), title="Small", facts=["On a machine."])
    parts = page.split("\n\n")
    assert parts[:2] == ["# Small", "On a machine."]
    table = parts[2].splitlines()
    assert table[1] == "| --- | ---: | --- |" + " ---: |" * 9
    assert len(table) == 2 + 5
    assert "4 of 14 cells are done; the rest is not in here." in parts
    assert any(
        part.startswith("Full ranking of 50 items for 400 users, items of the history left out") for part in parts
    )


def test_a_whole_table_does_not_say_that_something_is_missing():
    told = recipe(students=student(methods=["soft"]))
    table = make_table(told, [done("alone", 0.25), done("soft", 0.5)], {})
    assert notes(table)[0].startswith("Full ranking")


# ---- for programs


def test_there_is_a_line_for_each_cell():
    frame = frame_of_cells(TOLD, [done("alone", 0.25), done("soft", 0.5, tail=None)])
    assert frame.rows(named=True)[0] == {
        "student": "small",
        "method": "alone",
        "control": True,
        "seed": 0,
        "parameters": 1000,
        "validation_ndcg@10": 0.26,
        "test_ndcg@10": 0.25,
        "test_recall@10": 0.25,
        "coverage@10": 0.5,
        "tail_ndcg@10": 0.125,
        "best_epoch": 2,
        "epochs": 3,
        "seconds_an_epoch": 2.0,
        "curve": "0.00000 0.26000 0.10000",
    }
    assert frame["tail_ndcg@10"].to_list() == [0.125, None]


def test_there_is_a_line_for_each_user_of_each_cell_and_of_the_teacher():
    frame = frame_of_users([done("alone", 0.25), done("soft", 0.5, seed=3)], teacher(0.75))
    means = frame.group_by("method", "student", "seed", maintain_order=True).agg(pl.col("ndcg@10").mean(), pl.len())
    assert means.rows() == [
        ("teacher", None, None, 0.75, USERS),
        ("alone", "small", 0, 0.25, USERS),
        ("soft", "small", 3, 0.5, USERS),
    ]


# ---- plots


def texts(path):
    return {"".join(node.itertext()).strip() for node in ElementTree.parse(path).iter() if node.tag.endswith("text")}


def test_the_plot_of_sizes_names_students_and_teacher(tmp_path):
    plot_size(whole(), tmp_path / "size.svg", title="Small world")
    assert {"Small world", "small", "teacher", "alone", "distilled", "parameters"} <= texts(tmp_path / "size.svg")


def test_the_plot_of_curves_has_a_panel_for_each_student_with_both_curves(tmp_path):
    outcomes = [done("alone", 0.25), done("soft", 0.5), done("alone", 0.3, who="other"), done("soft", 0.4, who="other")]
    table = make_table(TOLD, outcomes, {})
    plot_curves(table, outcomes, tmp_path / "curves.svg", title="Small world")
    assert {"small", "other", "alone", "soft", "epoch", "validation NDCG@10"} <= texts(tmp_path / "curves.svg")


def test_students_that_are_only_trained_alone_are_plotted_too(tmp_path):
    table = make_table(TOLD, [done("alone", 0.25)], {})
    plot_size(table, tmp_path / "size.svg", title="Half")
    plot_curves(table, [done("alone", 0.25)], tmp_path / "curves.svg", title="Half")
    assert {"small", "alone"} <= texts(tmp_path / "size.svg") & texts(tmp_path / "curves.svg")


def test_the_same_table_gives_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_size(whole(), tmp_path / name, title="Small world")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_without_matplotlib_the_line_that_installs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib is not installed\. Run: pip install 'distilrec\[plot\]'"):
        plot_size(whole(), tmp_path / "size.svg", title="Small world")
    assert list(tmp_path.iterdir()) == []

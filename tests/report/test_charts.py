"""Each chart is one picture with words for who can't see it, and marks where the numbers are."""

from itertools import pairwise
from math import nan

import pytest

from distilrec.evaluate.bootstrap import Interval
from distilrec.report.charts import Line, Point, Row, curves, histogram, intervals, quality_against_cost, shares
from distilrec.report.drawing import Box, label_boxes, mark


def test_quality_against_cost_marks_every_model_and_names_the_frontier(outline):
    points = [
        Point("small", "distilled", 1000, Interval(0.3, 0.2, 0.4)),
        Point("large", "teacher", 100_000, Interval(0.2, 0.1, 0.3)),
        Point("tiny", "baseline", 10, Interval(0.1, 0.05, 0.15)),
    ]
    found = outline(quality_against_cost(points, cost="bytes", quality="NDCG@10", cost_text=lambda v: f"{v:g} B"))
    assert found.problems == []
    marks = [a["class"] for _, a in found.tags if a.get("class", "").startswith("mark")]
    assert marks == ["mark distilled", "mark teacher", "mark baseline"]
    assert "On the frontier: tiny, small." in found.words
    assert "large 0.2000 at 100000 B" in found.words


def test_curves_end_with_their_names_and_mark_the_epoch_that_was_kept(outline):
    lines = [Line("a", "distilled", [0.1, 0.2, 0.15], kept=2), Line("b", "teacher", [0.1])]
    found = outline(curves(lines, title="Validation", y_title="NDCG@10"))
    assert found.problems == []
    assert "a ends at 0.1500 after 3 epochs, b ends at 0.1000 after 1 epochs" in found.words
    assert [a["class"] for _, a in found.tags if a.get("class", "").startswith("mark")] == ["mark distilled"]


def test_a_line_is_broken_where_it_has_no_value(outline):
    """Epochs 1 and 2, a gap, epoch 4 alone, which is a dot; the name stands there, not at the end of the axis."""
    lines = [Line("soft", "series-1", [4.0, 3.0, nan, 2.0, nan]), Line("loss", "series-0", [4.0] * 5)]
    found = outline(curves(lines, title="Loss", y_title="loss"))
    drawn = [a["d"].removeprefix("M").split("L") for a in found.named("path") if a["class"] == "curve series-1"]
    assert [len(set(points)) for points in drawn] == [2, 1]
    assert "soft ends at 2.0000 after 4 epochs" in found.words
    assert not any("nan" in str(value) for _, attributes in found.tags for value in attributes.values())
    ends = {a["class"]: float(a["x"]) for a in found.named("text") if "ink" in a["class"]}
    assert ends["label ink series-1"] < ends["label ink series-0"]


def test_names_at_the_ends_of_curves_do_not_touch_and_stay_above_the_axis(outline):
    lines = [Line(name, "series-0", [1.0, 0.5 + 1e-6 * n]) for n, name in enumerate("abc")]
    found = outline(curves(lines, title="Loss", y_title="loss"))
    places = sorted(float(a["y"]) for tag, a in found.tags if tag == "text" and "ink" in a.get("class", ""))
    assert min(b - a for a, b in pairwise(places)) >= 14.9
    assert places[-1] <= 228


def test_intervals_show_each_group_with_its_note(outline):
    rows = [Row("head", "3 users", {"teacher": Interval(0.2, 0.1, 0.3), "distilled": Interval(0.1, 0, 0.2)})]
    found = outline(intervals(rows, title="By popularity", x_title="NDCG@10"))
    assert found.problems == []
    assert "head: teacher 0.2000, distilled 0.1000" in found.words
    assert "3 users" in found.words


def test_shares_fill_the_bar_and_name_the_large_ones(outline):
    found = outline(shares([("all", [0.5, 0.46, 0.04])], names=["head", "middle", "tail"], title="Popularity"))
    bars = [float(a["width"]) for _, a in found.tags if a.get("class", "").startswith("part")]
    assert sum(bars) == pytest.approx(326 - 3, abs=0.2)  # three gaps of one
    assert bars[0] / bars[1] == pytest.approx(0.5 / 0.46, abs=0.01)
    assert "all: head 50 %, middle 46 %, tail 4 %" in found.words
    assert found.words.endswith("all50 %46 %")  # 4 % is too narrow for words


def test_a_histogram_counts_every_request(outline):
    found = outline(histogram([("a", "teacher", [1.0, 1.0, 1.0, 8.0]), ("b", "distilled", [1.0])], title="Latency"))
    assert found.problems == []
    heights = [float(a["height"]) for _, a in found.tags if a.get("class") == "bar teacher"]
    assert heights == [46.0, pytest.approx(46 / 3, abs=0.1)]
    assert "median 1.00" in found.words


def test_labels_get_out_of_each_others_way():
    frame = Box(0, 0, 400, 200)
    places = [(100, 100), (102, 101), (104, 99)]
    names = ["distilled student", "student alone", "teacher"]
    found = label_boxes(places, names, frame)
    boxes = []
    for (x, y, anchor), name in zip(found, names, strict=True):
        width = 6.3 * len(name)
        left = x - {"start": 0, "middle": width / 2, "end": width}[anchor]
        boxes.append(Box(left, y - 11, left + width, y + 3))
    assert all(a.overlap(b) == 0 for n, a in enumerate(boxes) for b in boxes[:n])


def test_each_role_has_a_form_of_its_own_not_only_a_colour():
    forms = {mark(role, 0, 0).split()[0] for role in ("teacher", "distilled", "baseline")}
    assert forms == {"<path", "<circle", "<rect"}

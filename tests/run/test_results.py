"""The table says what the evaluations say, in the same words for a terminal, a card and a file."""

import re

import pytest

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json, size_bytes
from distilrec.latency import Latency
from distilrec.run.results import TITLES, Results, Row


def cell(interval):
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def test_every_number_of_the_table_comes_from_the_evaluation_and_the_artefact(finished):
    head, body = finished.results.cells()
    assert head == [
        *("model", "NDCG@10 [95 %]", "Recall@10 [95 %]", "MRR [95 %]"),
        *("parameters", "bytes on disk", "ms/request"),
    ]
    by_title = {row[0]: row[1:] for row in body}
    assert list(by_title) == list(TITLES.values())
    for name, title in TITLES.items():
        found = Evaluation.load(finished.folder / "evaluation" / name)
        expected = [cell(found.interval(metric)) for metric in ("ndcg@10", "recall@10", "mrr")]
        assert by_title[title][:3] == expected
        assert by_title[title][-1] == "0.25"


def test_sizes_are_those_of_what_must_be_shipped(finished):
    rows = {row.name: row for row in finished.results.rows}
    student = finished.folder / "distilled/seed-0/artefact"
    assert rows["distilled"].bytes_on_disk == size_bytes(student)
    assert rows["distilled"].parameters == read_json(student / "config.json")["n_parameters"]


def test_the_teacher_is_as_large_as_its_language_model_and_itself(small, finished):
    teacher = next(row for row in finished.results.rows if row.name == "teacher")
    artefact, encoder = finished.folder / "teacher/artefact", small.folder / "encoder"
    assert teacher.bytes_on_disk == size_bytes(artefact) + size_bytes(encoder / "model.safetensors")
    described = read_json(finished.folder / "vectors/encoder.json")
    assert teacher.parameters == read_json(artefact / "config.json")["n_parameters"] + described["parameters"]
    assert f"({described['model']}, {described['parameters']:,} parameters)" in finished.results.notes[-2]


def test_the_markdown_holds_the_same_cells(finished):
    head, body = finished.results.cells()
    lines = finished.results.markdown().splitlines()
    assert lines[0] == "| " + " | ".join(head) + " |"
    assert lines[1].startswith("| --- | ---: |")
    assert [re.split(r" \| ", line.strip("| ")) for line in lines[2 : 2 + len(body)]] == body


def test_the_verdicts_compare_the_distilled_student_with_itself_alone_and_with_its_teacher(finished):
    against, versus = finished.results.verdicts
    assert re.match(r"The distilled student is better than the student alone by 0\.\d{4} NDCG@10", against)
    assert against.endswith("users).")
    assert "the distilled student and the teacher" in versus or "than the teacher" in versus
    assert against in finished.results.markdown()


def test_the_protocol_is_stated(finished):
    users = len(Evaluation.load(finished.folder / "evaluation/distilled").per_user)
    assert finished.results.notes[0] == (
        f"Protocol: leave_last_out split, test cases of {users} users, full ranking of 24 items, items of the history "
        "left out, ties against the model; one seed; intervals by bootstrap over users."
    )


def test_the_epoch_that_was_kept_counts_from_one(finished):
    report = read_json(finished.folder / "distilled/seed-0/training.json")
    assert finished.results.epochs["distilled"] == [report["best_epoch"] + 1]


def made_up(metric):
    metrics = {"recall@10": Interval(0.5, 0.4, 0.6), "mrr": Interval(0.2, 0.1, 0.3), "ndcg@5": Interval(0.3, 0.2, 0.4)}
    row = Row("ease", metrics, 1_234_567, 7_654_321, Latency(1.0, 2.0, 3.0, 10))
    return Results([row], metric, [], [], {}, {})


@pytest.mark.parametrize(
    ("metric", "columns"),
    [
        ("ndcg@5", ["NDCG@5 [95 %]", "Recall@10 [95 %]", "MRR [95 %]"]),
        ("recall@10", ["Recall@10 [95 %]", "MRR [95 %]"]),
        ("mrr", ["MRR [95 %]", "Recall@10 [95 %]"]),
    ],
)
def test_the_metric_that_decides_comes_first_and_no_column_comes_twice(metric, columns):
    head, body = made_up(metric).cells()
    assert head[1:-3] == columns
    assert body[0][-3:] == ["1,234,567", "7,654,321", "1.00"]


def test_a_metric_that_was_not_measured_is_left_out_of_the_table():
    """With cut-offs of 5 alone there is no recall@10."""
    results = made_up("ndcg@5")
    del results.rows[0].metrics["recall@10"]
    assert results.cells()[0][1:-3] == ["NDCG@5 [95 %]", "MRR [95 %]"]


def test_a_baseline_that_was_left_out_has_no_row(small, copied, quick):
    found, _ = small.run(copied, "baselines.ease=null", "evaluate.exclude_history=true")
    assert "ease" not in [row.name for row in found.results.rows]

"""What is printed can be read: titles as they are, tables that fit, commands that can be typed."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from distilrec import Recommender
from distilrec.cli import show
from distilrec.models.popularity import Popularity
from distilrec.run.finished import Sample
from distilrec.types import Ragged


def popular(**columns):
    """Three items, of which the first is the most popular."""
    items = pl.DataFrame({"item_id": [1, 2, 3], "train_count": [3, 2, 1], **columns})
    return Recommender(Popularity.fit(Ragged.of([[0, 0, 0, 1, 1, 2]]), n_items=3), items)


def shown(recommender, capsys):
    show.show_recommendations(recommender, recommender.recommend([], k=3))
    return capsys.readouterr().out


def test_brackets_in_a_title_are_not_taken_for_markup(capsys):
    out = shown(popular(title=["[REC] (2007)", "A [/b] B", "[bold]Loud"]), capsys)
    for title in ("[REC] (2007)", "A [/b] B", "[bold]Loud"):
        assert f" {title} " in out


def test_an_item_without_a_title_is_shown_as_such(capsys):
    out = shown(popular(title=["One", None, "Three"]), capsys)
    assert "(no title)" in out
    assert "None" not in out


def test_a_catalogue_without_titles_has_no_column_of_titles(capsys):
    out = shown(popular(), capsys)
    assert "title" not in out
    assert re.search(r"│ 1 +│ +1 │ 1\.3863 │", out)  # log(1 + 3)


@pytest.fixture
def on_terminal(finished, capsys, monkeypatch):
    """A run's table on a terminal of so many columns."""

    def lines(columns):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(columns))
        show.show_run(finished)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        return plain.partition(finished.results.verdicts[0])[0].splitlines()

    return lines


def test_intervals_go_below_their_means_on_a_narrow_terminal(finished, on_terminal):
    table = on_terminal(120)
    interval = next(row for row in finished.results.rows if row.name == "ease").metrics["ndcg@10"]
    at = next(number for number, line in enumerate(table) if line.startswith(" EASE"))
    assert f" {interval.mean:.4f} " in table[at]
    assert f"[{interval.low:.4f}, {interval.high:.4f}]" in table[at + 1]


@pytest.mark.parametrize("columns", [80, 100, 120, 160])
def test_no_word_and_no_number_is_cut_off_by_a_terminal(finished, on_terminal, columns):
    table = on_terminal(columns)
    assert all(len(line) <= columns for line in table)
    whole = "\n".join(table)
    assert "…" not in whole
    for row in finished.results.rows:
        for number in (f"{row.metrics['mrr'].low:.4f}", f"{row.bytes_on_disk:,}", f"{row.parameters:,}"):
            assert number in whole


def test_a_run_says_how_much_memory_it_took(finished, capsys):
    show.show_run(finished)
    assert re.search(r"^Peak memory of this process: \d+\.\d\d GiB\.$", capsys.readouterr().out, re.MULTILINE)


class SampleOf:
    def __init__(self, history, recommended):
        self._sample = Sample(7, history, recommended, "Next")

    def sample(self, k):
        return self._sample


@pytest.mark.parametrize(
    ("history", "recommended", "lines"),
    [
        (["A", "Bee"], ["C", "D"], ["  A    ->  C", "  Bee  ->  D"]),
        (["A"], ["C", "D"], ["  A  ->  C", "     ->  D"]),
        (["A", "B"], ["C"], ["  A  ->  C", "  B  ->  "]),
    ],
)
def test_a_sample_puts_past_and_future_side_by_side_however_long_they_are(capsys, history, recommended, lines):
    show.show_sample(SampleOf(history, recommended), k=5)
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "User 7: the end of the history, and what is recommended next"
    assert out[2:-1] == lines
    assert out[-1] == "  (chosen next in fact: Next)"


def test_next_commands_can_be_typed_whatever_the_folder_is_called(finished, capsys, monkeypatch):
    class Spaced:
        folder = Path("my runs/of today")
        prepared = finished.prepared
        example_history = finished.example_history

    show.show_next_commands(Spaced)
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines()[2:]]
    assert commands[0][:3] == ["distilrec", "recommend", "my runs/of today"]
    assert commands[0][4] == ",".join(map(str, finished.example_history()[-3:]))

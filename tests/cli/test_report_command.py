"""distilrec report, as it is typed."""

import shutil

from distilrec.run import track as tracking


def test_a_report_of_a_run_is_one_html_file_and_markdown_beside_it(command, finished, tmp_path):
    called = command("report", finished.folder, "--out", tmp_path / "page.html")
    assert called.code == 0, called.err
    assert called.out == f"wrote {tmp_path / 'page.html'} and {tmp_path / 'page.md'}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "page.md"]
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "page.md").read_text().startswith("# Small world: DistilRec report")


def test_models_of_a_run_without_lists_are_asked_unless_told_otherwise(command, copied, tmp_path):
    lists = list(copied.glob("evaluation/*/lists.npy"))
    for path in lists:
        path.unlink()
    called = command("report", copied, "--out", tmp_path / "a.html", "--no-ask")
    assert "This run kept no lists" in (tmp_path / "a.html").read_text()
    called = command("report", copied, "--out", tmp_path / "b.html")
    assert f"{copied}: asking its models what they show" in called.out
    assert all(path.is_file() for path in lists)
    assert "This run kept no lists" not in (tmp_path / "b.html").read_text()


def test_several_runs_are_put_side_by_side(command, finished, copied, tmp_path):
    called = command("report", finished.folder, copied, "--out", tmp_path / "page.html")
    assert called.code == 0, called.err
    page = (tmp_path / "page.html").read_text()
    assert "Runs side by side" in page
    assert "have the same NDCG@10 for each of 53 users" in page


def test_what_is_missing_is_told_on_the_command_line_too(command, copied, tmp_path):
    (copied / "results.json").unlink()
    shutil.rmtree(copied / "artefact")
    called = command("report", copied, "--out", tmp_path / "page.html")
    assert called.code == 0
    assert called.out.startswith("note: The run is not finished")


def test_what_is_no_run_and_what_is_no_page_are_refused(command, finished, tmp_path):
    called = command("report", tmp_path, "--out", tmp_path / "page.html")
    assert called.code == 2
    assert "is not the folder of a run" in called.err
    called = command("report", finished.folder, "--out", tmp_path / "page.pdf")
    assert (called.code, called.err) == (
        2,
        f"error: --out {tmp_path / 'page.pdf'}: expected a name that ends in .html\n",
    )
    called = command("report", finished.folder, finished.folder, "--out", tmp_path / "page.html")
    assert (called.code, called.err) == (2, f"error: {finished.folder} is given twice; name each run once\n")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_there_can_be_tracked_later(command, copied, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    monkeypatch.setattr(tracking, "_teller", lambda name: lambda run, found: f"{name} of {len(found)} trainings")
    called = command("track", copied, "--to", "tensorboard", "--to", "mlflow")
    assert called.out == "".join(
        f"{copied}: tracked; see: {name} of 3 trainings\n" for name in ("tensorboard", "mlflow")
    )
    called = command("track", copied, "--to", "diary")
    assert (called.code, called.err) == (2, "error: --to diary: expected tensorboard or mlflow\n")


def test_trackers_of_a_run_may_be_named_beside_the_recipe(command, small, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    called = command("run", small.folder / "recipe.yaml", "--out", tmp_path / "run", "--track", "mlflow")
    assert called.code == 2
    assert "pip install 'distilrec[track]'" in called.err

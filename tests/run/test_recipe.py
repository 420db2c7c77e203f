"""A recipe is checked as a whole before anything is done: what cannot work is refused in words."""

from pathlib import Path

import pytest

from distilrec.config import parse
from distilrec.errors import SettingsError
from distilrec.run.recipe import EvaluateStage, Recipe, load_recipe, with_paths


def refused(small, *overrides):
    with pytest.raises(SettingsError) as caught:
        small.recipe(*overrides)
    return str(caught.value)


def test_a_recipe_needs_no_more_than_its_data():
    recipe = parse(Recipe, {"data": {"path": "log.csv"}})
    assert recipe.seeds == (0,)
    assert recipe.student.model.width == 64
    assert (recipe.knowledge.soft_labels, recipe.knowledge.top_k) == ("top", 300)
    assert [loss.kind for loss in recipe.distil.losses] == ["relaxed_ranking"]


def test_a_recipe_without_data_is_refused():
    with pytest.raises(SettingsError, match=r"^r\.yaml: data: Field required$"):
        parse(Recipe, {"name": "x"}, where="r.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sedes=[1]", "unknown setting 'sedes'; did you mean 'seeds'?"),
        ("student.model.widht=3", "unknown setting 'student.model.widht'; did you mean 'width'?"),
        ("baselines.ease.l3=2", "unknown setting 'baselines.ease.l3'; known: l2, max_items"),
        ("data.filter.core=5", "unknown setting 'data.filter.core'"),
        ("student.train.epochs=many", "student.train.epochs: Input should be a valid integer"),
        ("distil.alpha=2", "distil.alpha: a share lies between 0 and 1; its values go from 2.0 to 2.0 (got 2)"),
        ("distil.alpha=", "distil.alpha: Input should be a valid number (got None)"),
        ("data=3", "data: Input should be a valid dictionary"),
        ("knowledge.source=ram", "knowledge.source: Input should be 'disk' or 'live' (got 'ram')"),
        ("teacher.kind=oracle", "teacher: Input tag '<oracle>'"),
        (
            "data.split.test_from=5",
            "data.split.test_from: expected a date, or a share of events between 0 and 1 (got 5)",
        ),
        ("distil.alpha", "--set 'distil.alpha': expected stage.key=value"),
        ("distil.pull.x=1", "unknown setting 'distil.pull.x'; known: begin, end, finish, kind, start"),
        ("name.x=1", "--set name.x: name is 'Small world', not a group of settings"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(small, override, message):
    assert message in refused(small, override)


@pytest.mark.parametrize("template", ["{title}", "{title}. {cluster}"])
def test_a_template_without_quotes_of_its_own_is_told_how_to_be_written(small, template):
    """YAML reads braces as a mapping."""
    assert "--set 'encode.template=\"{title}. {genres}\"'" in refused(small, f"encode.template={template}")
    assert small.recipe(f'encode.template="{template}"').encode.template == template


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["student.model.max_length=20"],
            "teacher.model.max_length is 10 and student.model.max_length is 20; the teacher must read at least",
        ),
        (
            ["teacher={kind: ease}"],
            "a teacher of kind ease has no item vectors for the student to start from; set distil.start_from_teacher",
        ),
        (
            ["teacher={kind: ensemble, members: [{kind: ease}, {kind: ids, model: {width: 9, heads: 2}}]}"],
            "teacher.members.1.model.width 9 does not divide by teacher.members.1.model.heads 2",
        ),
        (["teacher={kind: ids, model: {widht: 9}}"], "unknown setting 'teacher.model.widht'; did you mean 'width'?"),
        (["teacher.model.heads=3"], "teacher.model.width 16 does not divide by teacher.model.heads 3"),
        (["student.model.heads=3"], "student.model.width 8 does not divide by student.model.heads 3"),
        (
            ["student.model.width=32"],
            "student.model.width 32 is more than teacher.model.width 16, so the student cannot",
        ),
        (["seeds=[1, 1]"], "seeds [1, 1] name one twice"),
        (["seeds=[-1]"], "seeds.0: Input should be greater than or equal to 0 (got -1)"),
        (["seeds=[]"], "seeds: Tuple should have at least 1 item"),
        (["student.train.seed=3"], "student.train.seed is 3; students take theirs from seeds, so set those"),
        (["evaluate.metric=ndcg@7"], "evaluate.metric 'ndcg@7' is not measured; choose from ndcg@5, recall@5"),
        (["evaluate.cutoffs=[]"], "evaluate.cutoffs: Tuple should have at least 1 item"),
        (["evaluate.cutoffs=[0, 5]"], "evaluate.cutoffs: cut-off 0 is not a length of a list"),
        (["evaluate.cutoffs=[5, 5]"], "evaluate.cutoffs: cut-offs [5, 5] name one twice"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_before_anything_is_trained(small, overrides, message):
    assert message in refused(small, *overrides)


def test_every_misfit_is_told_at_once_and_the_whole_recipe_is_not_repeated(small):
    told = refused(small, "seeds=[1, 1]", "student.model.max_length=20")
    assert "must read at least" in told
    assert "name one twice" in told
    assert "Small world" not in told


def test_a_wide_student_is_fine_where_it_does_not_start_from_the_teacher(small):
    assert small.recipe("student.model.width=32", "distil.start_from_teacher=false").student.model.width == 32


@pytest.mark.parametrize("metric", ["ndcg@5", "mrr@10", "mrr", "precision@5"])
def test_every_metric_that_is_measured_may_decide(small, metric):
    assert small.recipe(f"evaluate.metric={metric}").evaluate.metric == metric


def test_overrides_win_and_keep_their_types(small):
    recipe = small.recipe("distil.alpha=0.25", "seeds=[3, 4]", "baselines.ease=null", "name=Another one")
    assert (recipe.distil.alpha, recipe.seeds, recipe.baselines.ease) == (0.25, (3, 4), None)
    assert recipe.name == "Another one"
    assert recipe.teacher.model.width == 16


def test_a_date_may_be_written_as_yaml_writes_it(small):
    assert small.recipe("data.split.test_from=2020-01-01").data.split.test_from.year == 2020


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data: [1", "r.yaml is not valid YAML"),
        ("", "r.yaml holds nothing; expected a mapping"),
        ("- data", "r.yaml holds a list; expected a mapping"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(tmp_path, content, message):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(SettingsError, match=message):
        load_recipe(tmp_path / "r.yaml")


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"r\.yaml does not exist; expected a YAML recipe"):
        load_recipe(tmp_path / "r.yaml")


# ---- paths


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A recipe in one folder, the working folder elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()

    def load(text, *files):
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / file).touch()
        (tmp_path / "recipes" / "r.yaml").write_text(text)
        return load_recipe(Path("recipes/r.yaml"))

    return load


def test_data_is_found_beside_the_recipe(beside):
    assert beside("data: {path: log.csv}", "recipes/log.csv").data.path == Path("recipes/log.csv")


def test_the_working_folder_comes_first(beside):
    assert beside("data: {path: log.csv}", "recipes/log.csv", "log.csv").data.path == Path("log.csv")


def test_what_is_nowhere_stays_as_it_was_written(beside):
    assert beside("data: {path: log.csv}").data.path == Path("log.csv")


def test_the_catalogue_the_users_and_the_encoder_are_found_beside_the_recipe_too(beside):
    files = ["recipes/log.csv", "recipes/i.csv", "recipes/u.csv", "recipes/bert/config.json"]
    recipe = beside("{data: {path: log.csv, items: i.csv, users: u.csv}, encode: {model: bert}}", *files)
    assert (recipe.data.items, recipe.data.users) == (Path("recipes/i.csv"), Path("recipes/u.csv"))
    assert recipe.encode.model == "recipes/bert"


def test_a_catalogue_within_the_data_folder_is_meant_before_one_beside_the_recipe(beside):
    recipe = beside("data: {path: d, items: i.csv}", "recipes/d/i.csv", "recipes/i.csv")
    assert recipe.data.items == Path("i.csv")


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "org/encoder", "./nowhere"])
def test_a_name_on_the_hub_is_no_path(beside, name):
    assert beside(f"{{data: {{path: log.csv}}, encode: {{model: {name}}}}}").encode.model == name


def test_all_paths_of_a_recipe_can_be_changed_at_once():
    recipe = parse(Recipe, {"data": {"path": "/home/me/logs", "items": "/i.csv"}, "encode": {"model": "/m/bert"}})
    named = with_paths(recipe, lambda path: Path(path.name))
    assert (named.data.path, named.data.items, named.encode.model) == (Path("logs"), Path("i.csv"), "bert")


def test_each_of_several_encoders_is_looked_for_and_a_name_on_the_hub_stays(beside):
    recipe = beside("{data: {path: log.csv}, encode: {model: [bert, all-MiniLM-L6-v2]}}", "recipes/bert/config.json")
    assert recipe.encode.model == ("recipes/bert", "all-MiniLM-L6-v2")


def test_several_encoders_may_have_the_same_name_once_their_folders_are_left_out():
    recipe = parse(Recipe, {"data": {"path": "log"}, "encode": {"model": ["/a/bert", "/b/bert"]}})
    assert with_paths(recipe, lambda path: Path(path.name)).encode.model == ("bert", "bert")


def test_cutoffs_are_checked_wherever_they_are_given():
    with pytest.raises(SettingsError, match="cut-off -1 is not a length of a list"):
        parse(EvaluateStage, {"cutoffs": (-1,)})

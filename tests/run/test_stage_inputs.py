"""Every setting is among the inputs of the stages that it decides, and of no other.

An input that a stage lacks would keep a result that a change has made wrong; one too many would redo hours of work.
"""

import shutil

import polars as pl
import pytest
from other_values import (
    ALONGSIDE,
    LAYERS_KEPT,
    LAYERS_OF,
    LOSSES,
    MEASURES,
    OTHER_LOSS,
    OTHER_SHAPE,
    OTHER_TRAINING,
    STUDENTS,
    WITHIN,
)

from distilrec.config import settings_within
from distilrec.data.split import SplitSettings
from distilrec.evaluate.cost import Cost
from distilrec.files import write_json
from distilrec.models.students import student_kinds
from distilrec.run.folder import RunFolder
from distilrec.run.pipeline import _Pipeline
from distilrec.run.recipe import Recipe
from distilrec.run.results import TITLES
from small_world import worked

EVALUATIONS = {f"evaluation/{n}" for n in ("popularity", "item_knn", "ease", "teacher", "student_alone", "distilled")}
TRAINED = {"teacher", *STUDENTS}
DECIDES: dict[str, set[str]] = {
    "data.filter.min_rating=0.5": {"data"},
    "data.filter.deduplicate=true": {"data"},
    "data.filter.k_core=2": {"data"},
    "data.split.kind=held_out_users": {"data"},
    "data.split.validation_from=0.7": {"data"},
    "data.split.test_from=0.8": {"data"},
    "data.split.fraction=0.2": {"data"},
    "data.split.min_history=2": {"data"},
    "data.split.new_items_only=false": {"data"},
    "data.split.seed=1": {"data"},
    'encode.template="{cluster}"': {"vectors"},
    "encode.max_tokens=4": {"vectors"},
    "encode.dtype=float32": {"vectors"},
    "baselines.item_knn.neighbours=5": {"baselines"},
    "baselines.item_knn.shrinkage=1": {"baselines"},
    "baselines.item_knn.recency_half_life=2": {"baselines"},
    "baselines.item_knn=null": {"baselines", "latency"},
    "baselines.ease.l2=7": {"baselines"},
    "baselines.ease.max_items=100": {"baselines"},
    "baselines.ease=null": {"baselines", "latency"},
    "baselines.popularity=null": {"baselines", "latency"},
    "teacher.content_width=4": {"teacher"},
    "teacher.content_projection=pca": {"teacher"},
    "teacher.model.free=false": {"teacher"},
    "teacher.train.seed=3": {"teacher"},
    "knowledge.source=live": {"distilled/seed-0"},
    "knowledge.soft_labels=top": {"knowledge"},
    "knowledge.top_k=5": {"knowledge"},
    "knowledge.tail=even": {"knowledge"},
    "knowledge.hidden=[blocks.0]": {"knowledge"},
    "knowledge.attention=[blocks.0]": {"knowledge"},
    "knowledge.relations=[blocks.0]": {"knowledge"},
    "knowledge.relation_heads=2": {"knowledge"},
    "knowledge.user_vectors=true": {"knowledge"},
    "knowledge.dtype=float32": {"knowledge"},
    "knowledge.memory_mb=64": set(),
    "knowledge.folds=2": {"teacher"},
    "distil.alpha=0.5": {"distilled/seed-0"},
    "distil.temperature=2": {"distilled/seed-0"},
    "distil.start_from_teacher=false": {"distilled/seed-0"},
    "distil.auxiliary_head=true": {"distilled/seed-0"},
    "distil.layers={blocks.0: blocks.0}": {"distilled/seed-0"},
    "evaluate.cutoffs=[5, 10, 15]": EVALUATIONS,
    "evaluate.metric=recall@10": TRAINED,
    "evaluate.exclude_history=false": TRAINED | EVALUATIONS,
    "evaluate.latency_requests=20": {"latency"},
    "also_split={kind: time}": set(),  # stages of a run of its own
    "seeds=[1]": set(),  # other stages, with the seed in their names
    **{f"teacher.model.{name}={value}": {"teacher"} for name, value in OTHER_SHAPE.items() if name != "width"},
    "teacher.model.width=32": {"teacher"},
    "student.model.preset=base": STUDENTS,
    **{f"student.model.{name}={value}": STUDENTS for name, value in OTHER_SHAPE.items()},
    **{f"teacher.train.{name}={value}": {"teacher"} for name, value in OTHER_TRAINING.items()},
    **{f"student.train.{name}={value}": STUDENTS for name, value in OTHER_TRAINING.items()},
    # What changes no number:
    "name=Another name": set(),
    "encode.token_budget=64": set(),
    "encode.device=cpu": set(),
    "teacher.train.checkpoint_seconds=1": set(),
    "student.train.checkpoint_seconds=1": set(),
}
THROUGH_THE_LOG = {
    f"data.{name}"
    for name in (
        *("path", "items", "users", "columns", "separator"),
        *("missing_ids", "mixed_ids", "bad_times", "bad_weights"),
    )
}
ELSEWHERE = {
    "student.train.seed",  # refused
    "teacher.train.augment.substitute",  # refused: who would say what is similar?
    "teacher.train.augment.insert",
    "encode.model",  # by its content, below
    "teacher.model.max_length",  # both at once, below
    "student.model.max_length",
    "teacher.kind",  # another kind has other settings
    "student.model.kind",  # each, below
    "costs.price_per_core_hour",  # multiplies what was measured
    "track",  # tells what was found, and decides nothing
    *(f"also_split.{name}" for name in SplitSettings.model_fields),  # as data.split of a run of its own
}


class Dry(_Pipeline):
    """A run that stops before it writes results."""

    def _finish(self, models):
        artefacts = {name: [path / "artefact" for path in paths] for name, paths in models.items()}
        self._latencies(artefacts)
        self._costs(artefacts)


@pytest.fixture(scope="module")
def inputs(small, finished, tmp_path_factory):
    """What each stage would be told, in the folder of a finished run, without doing anything."""
    folder = shutil.copytree(finished.folder, tmp_path_factory.mktemp("dry") / "run")
    cost = vars(Cost(1, 2, 3, 10, 5000, 3.6, 3, 2, 1, 0.5))
    write_json(folder / "costs/costs.json", {"machine": "", "models": dict.fromkeys(TITLES, cost)})

    def ask(*overrides):
        told = {}

        class Asked(RunFolder):
            def stage(self, name, inputs, work):
                told[name] = inputs
                return self.path / name.replace("seed-1", "seed-0")

        Dry(small.recipe(*overrides), Asked(folder, say=print), print, quiet=True).run()
        return told

    return ask


@pytest.fixture(scope="module")
def before(inputs):
    return inputs()


@pytest.mark.parametrize(("override", "decided"), DECIDES.items())
def test_a_setting_is_an_input_of_the_stages_it_decides_and_of_no_other(inputs, before, override, decided):
    now = inputs(override)
    assert {name for name in now.keys() & before.keys() if now[name] != before[name]} == decided


def test_the_longest_history_decides_all_that_is_trained(inputs, before):
    now = inputs("teacher.model.max_length=5", "student.model.max_length=5")
    assert {name for name in now if now[name] != before[name]} == TRAINED | {"knowledge"}


def within():
    for group, (values, decided) in WITHIN.items():
        path = group.partition("=")[0].removesuffix(".kind")
        yield from ((group, f"{path}.{name}={value}", decided) for name, value in values.items())


@pytest.mark.parametrize(("group", "override", "decided"), list(within()))
def test_so_is_a_setting_within_a_group(inputs, group, override, decided):
    base = [group, *(also for above, also in ALONGSIDE.items() if group.startswith(above))]
    before, now = inputs(*base), inputs(*base, override)
    assert {name for name in now if now[name] != before[name]} == decided


@pytest.mark.parametrize("kind", [kind for kind in student_kinds() if kind != "transformer"])
def test_another_kind_of_student_is_another_student(inputs, before, kind):
    now = inputs(f"student.model.kind={kind}")
    assert {name for name in now if now[name] != before[name]} == STUDENTS


@pytest.mark.parametrize("kind", LOSSES)
def test_every_setting_of_every_loss_decides_the_distilled_student_alone(inputs, kind):
    layers = f", teacher: {LAYERS_OF[kind]}, student: blocks.0" if kind in LAYERS_OF else ""
    before = inputs(*LAYERS_KEPT, f"distil.losses=[{{kind: {kind}{layers}}}]")
    for name in sorted(LOSSES[kind].model_fields.keys() - ({"kind", "teacher", "student"} if layers else {"kind"})):
        value = MEASURES[kind] if name == "measure" else OTHER_LOSS[name]
        now = inputs(*LAYERS_KEPT, f"distil.losses=[{{kind: {kind}{layers}, {name}: {value}}}]")
        assert {stage for stage in now if now[stage] != before[stage]} == {"distilled/seed-0"}, name


def test_every_setting_of_a_recipe_is_in_one_of_these_tables():
    """Those of losses are looked at by themselves."""
    tested = {override.partition("=")[0] for override in DECIDES} | THROUGH_THE_LOG | ELSEWHERE
    tested |= {override.partition("=")[0] for _, override, _ in within()}
    assert {leaf for leaf in leaves(Recipe) if not leaf.startswith("distil.losses.")} <= tested


def leaves(kind, above=""):
    for name, field in kind.model_fields.items():
        nested = [one for one in settings_within(field.annotation) if one.model_fields]
        for one in nested[:1] if name == "teacher" else nested:  # of several kinds of teacher the first
            yield from leaves(one, f"{above}{name}.")
        if not nested:
            yield f"{above}{name}"


# ---- what follows from a change, in earnest


def test_a_changed_distillation_redoes_the_distilled_student_alone(small, copied, quick):
    found, said = small.run(copied, "distil.alpha=0.1")
    assert worked(said) == {"distilled/seed-0", "evaluation/distilled", "latency"}
    assert found.recipe.distil.alpha == 0.1


def test_a_changed_teacher_redoes_it_and_whoever_learns_from_it(small, copied, quick):
    said = small.run(copied, "teacher.content_width=4")[1]
    taught = {"teacher", "knowledge", "distilled/seed-0"}
    assert worked(said) == {*taught, "evaluation/teacher", "evaluation/distilled", "latency"}


def test_a_changed_text_redoes_vectors_and_teacher_but_no_baseline(small, copied, quick):
    said = small.run(copied, 'encode.template="{title} {cluster}"')[1]
    assert {"vectors", "teacher", "knowledge", "distilled/seed-0"} < worked(said)
    assert not worked(said) & {"data", "baselines", "student_alone/seed-0", "evaluation/ease"}


def test_a_setting_that_a_model_uses_only_when_it_ranks_is_seen_by_its_evaluation(small, copied, quick):
    """The half-life is not in the weights of item-kNN: they stay the same, and what it recommends does not."""
    before = pl.read_parquet(copied / "evaluation/item_knn/per_user.parquet")
    said = small.run(copied, "baselines.item_knn.recency_half_life=null")[1]
    assert worked(said) == {"baselines", "evaluation/item_knn", "latency"}
    assert not pl.read_parquet(copied / "evaluation/item_knn/per_user.parquet").equals(before)


def test_an_encoder_is_known_by_its_content_not_by_its_place(small, copied, quick, tmp_path):
    moved = shutil.copytree(small.folder / "encoder", tmp_path / "moved")
    assert worked(small.run(copied, f"encode.model={moved}")[1]) == set()
    config = (moved / "config.json").read_text()
    (moved / "config.json").write_text(config.replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 0.5'))
    assert {"vectors", "teacher", "distilled/seed-0"} < worked(small.run(copied, f"encode.model={moved}")[1])


def test_one_more_seed_keeps_the_first(small, copied, quick):
    said = small.run(copied, "seeds=[0, 1]")[1]
    expected = {"student_alone/seed-1", "distilled/seed-1", "evaluation/student_alone", "evaluation/distilled"}
    assert worked(said) == expected

"""All stages of a recipe, one after the other, in one run folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distilrec.data.split import SplitSettings, split
from distilrec.encode.items import digest_of_encoders
from distilrec.errors import SettingsError
from distilrec.evaluate.cost import CostTable
from distilrec.evaluate.evaluation import Evaluation, average
from distilrec.evaluate.kept_lists import save_lists
from distilrec.evaluate.lists import TopLists
from distilrec.evaluate.ranking import check_cutoffs
from distilrec.files import read_json, write_json, write_text
from distilrec.knowledge import Knowledge, KnowledgeSource
from distilrec.latency import Latency, milliseconds_of_requests
from distilrec.machine import machine_facts
from distilrec.models.kinds import Model
from distilrec.recommender import Recommender
from distilrec.run import stages
from distilrec.run.advantage import advantage
from distilrec.run.costs import measured_costs
from distilrec.run.finished import Run, some_histories
from distilrec.run.folder import RunFolder, Say, digest_of_model, digest_of_stage
from distilrec.run.lists import LIST_LENGTH
from distilrec.run.publish import publish, recipe_text
from distilrec.run.ranked import RanksOnly, decides_ranks, ranked_knowledge
from distilrec.run.recipe import Recipe, with_paths
from distilrec.run.results import TITLES, Results, gather_results
from distilrec.run.splits import ALSO, BothSplits, second_recipe, titles
from distilrec.run.teacher_stages import (
    SPEED_ONLY,
    KnowledgeTeacher,
    reads_text,
    reads_vectors,
    without_speed,
)
from distilrec.run.teachers import (
    Lessons,
    fit_folds,
    fit_teacher,
    forget_checkpoint,
    open_knowledge,
    open_teacher,
    score_of,
    take_knowledge,
)
from distilrec.run.track import check_installed, track

_POPULARITY_METRIC = "ndcg@10"  # what a teacher is held against popularity by
ALONE, DISTILLED, TEACHER = "student_alone", "distilled", "teacher"


def run(recipe: Recipe, out: Path, *, say: Say = print, quiet: bool = False) -> Run:
    """Do every stage that is not done yet.

    Interrupted or killed, the same call goes on where it stopped, in the middle of training too, to the same result.

    Raises:
        ArtifactError: `out` holds a run on another data set, or another process works in it.
    """
    folder = RunFolder(out, say=say)
    with folder.locked():
        return _Pipeline(recipe, folder, say, quiet).run()


@dataclass(frozen=True)
class Taught:
    """What there is to learn from."""

    knowledge: KnowledgeSource
    key: str
    """Digest of all that it can have said."""


class _Pipeline:
    """The stages of one run; each method does one and returns what the next ones need."""

    def __init__(self, recipe: Recipe, folder: RunFolder, say: Say, quiet: bool) -> None:
        self.recipe, self.folder, self.say, self.quiet = recipe, folder, say, quiet

    def run(self) -> Run:
        check_installed(self.recipe.track)
        self._prepare()
        self._check_sizes()
        # first, since it finds a wrong encoder or template within seconds
        self.vectors = self._encode() if reads_vectors(self.recipe.teacher) else None
        from_anywhere = with_paths(self.recipe, lambda path: path.absolute() if path.exists() else path)
        write_text(self.folder.path / "recipe.yaml", recipe_text(from_anywhere))
        self.validate = stages.validator(self.prepared, self.recipe.evaluate)
        models = {name: [folder] for name, folder in self._baselines().items()}
        teacher = self.recipe.teacher
        if isinstance(teacher, KnowledgeTeacher):
            taught = self._said_before(teacher)
        else:
            taught = self._ranked(teacher) if isinstance(teacher, RanksOnly) else self._taught(models)
        models[ALONE] = [self._student(ALONE, seed) for seed in self.recipe.seeds]
        models[DISTILLED] = [self._student(DISTILLED, seed, taught) for seed in self.recipe.seeds]
        for name, folders in models.items():
            self._judge(name, folders)
        return self._finish(models)

    def _prepare(self) -> None:
        interactions, lines = stages.read_log(self.recipe.data)
        source = interactions.digest()
        self.folder.claim(data_digest=source)
        settings = self.recipe.data.model_dump(mode="json", include={"filter", "split"})

        def work(folder: Path) -> None:
            for line in [*lines, *stages.prepare(interactions, self.recipe.data, folder)]:
                self.say(f"  {line}")

        done = self.folder.stage("data", {"source": source, **settings}, work)
        self.prepared = stages.load_prepared(done)
        if self.recipe.also_split is not None:
            split(self.prepared.interactions, self.recipe.also_split)  # what can't be split is refused before training
        self.data_key = digest_of_stage(done)

    def _check_sizes(self) -> None:
        """Refuse settings that do not fit the catalogue now, not when training is over."""
        n_items, width = self.prepared.interactions.n_items, self.recipe.student.model.width
        check_cutoffs(self.recipe.evaluate.cutoffs, n_items)
        if self.recipe.distil.start_from_teacher and width > n_items:
            raise SettingsError(
                f"student.model.width is {width}, more than the {n_items} items, so the student cannot start from the "
                "teacher's item table; choose a smaller one, or distil.start_from_teacher=false"
            )

    def _baselines(self) -> dict[str, Path]:
        def work(folder: Path) -> None:
            for name, model in stages.fit_baselines(self.recipe.baselines, self.prepared).items():
                Recommender(model, self.prepared.catalogue()).save_pretrained(folder / name / "artefact")

        settings = self.recipe.baselines.model_dump(mode="json")
        done = self.folder.stage("baselines", {"data": self.data_key, **settings}, work)
        return {name: done / name for name, chosen in settings.items() if chosen is not None}

    def _encode(self) -> Path:
        """The key holds the encoder's content, not its name or place, and nothing that only changes the speed."""
        settings = self.recipe.encode
        inputs = {
            "catalogue": self.prepared.interactions.catalogue_digest(),
            "encoder": digest_of_encoders(settings, quiet=self.quiet),
            **settings.model_dump(mode="json", exclude={"model", "token_budget", "device"}),
        }

        def work(folder: Path) -> None:
            stages.encode(self.prepared, settings, folder, quiet=self.quiet)

        return self.folder.stage("vectors", inputs, work)

    def _said_before(self, stage: KnowledgeTeacher) -> Taught:
        """Folders that are there; they are read where they lie."""
        max_length = self.recipe.student.model.max_length
        found = open_knowledge(stage.folders, None, self.prepared, max_length=max_length, weights=stage.weights)
        assert found is not None  # there is a folder at least
        if self.recipe.distil.start_from_teacher and found.item_vectors() is None:
            raise SettingsError("none of teacher.folders holds item vectors; set distil.start_from_teacher=false")
        return Taught(found, found.digest())

    def _ranked(self, stage: RanksOnly) -> Taught:
        """What others said, or a language model that was not trained: there is no teacher to train or to judge."""
        max_length, template = self.recipe.student.model.max_length, self.recipe.encode.template
        text = template if isinstance(template, str) else None
        decides = decides_ranks(stage, template=text, quiet=self.quiet)

        def work(folder: Path) -> None:
            told = ranked_knowledge(
                stage, self.prepared, folder, max_length=max_length, template=text, quiet=self.quiet
            )
            for line in told[1]:
                self.say(f"  {line}")

        done = self.folder.stage("knowledge", {"data": self.data_key, "max_length": max_length, **decides}, work)
        return Taught(Knowledge.open(done), digest_of_stage(done))

    def _taught(self, models: dict[str, list[Path]]) -> Taught:
        models[TEACHER] = [self._teacher()]
        return self._knowledge()

    def _teacher(self) -> Path:
        settings, folds = self.recipe.teacher, self.recipe.knowledge.folds
        inputs = {
            "data": self.data_key,
            "vectors": digest_of_stage(self.vectors) if self.vectors else None,
            "template": self.recipe.encode.templates[0] if reads_text(settings) else None,
            "validation": self._validation(),
            "teacher": without_speed(settings.model_dump(mode="json")),
            "folds": folds,
        }
        lessons = Lessons(
            self.prepared,
            self.vectors,
            self.recipe.encode.templates[0],
            self.validate,
            exclude_history=self.recipe.evaluate.exclude_history,
        )

        def work(folder: Path) -> None:
            fit_teacher(settings, lessons, folder, quiet=self.quiet)
            if folds:
                fit_folds(settings, lessons, folder, folds=folds, quiet=self.quiet)
            forget_checkpoint(folder)

        self.teacher = self.folder.stage(TEACHER, inputs, work)
        track(self.folder.path, self.recipe.track)
        return self.teacher

    def _knowledge(self) -> Taught:
        """From disk, or the teacher itself; the key says what the teacher can have said."""
        key, settings = digest_of_stage(self.teacher), self.recipe.knowledge
        max_length = self.recipe.student.model.max_length
        teacher = open_teacher(self.teacher, self.prepared, max_length, relation_heads=settings.relation_heads)
        if settings.source == "live":
            return Taught(teacher, key)
        inputs = {
            "teacher": key,
            "data": self.data_key,
            "max_length": max_length,
            **settings.model_dump(mode="json", exclude={"source", "memory_mb", "folds"}),
        }

        def work(folder: Path) -> None:
            about = {"kind": self.recipe.teacher.kind, "validation": score_of(self.teacher)}
            take_knowledge(
                teacher,
                self.prepared,
                folder,
                max_length=max_length,
                settings=settings,
                about=about,
                score=score_of(self.teacher) if self.recipe.evaluate.metric == _POPULARITY_METRIC else None,
                quiet=self.quiet,
            )

        done = self.folder.stage("knowledge", inputs, work)
        knowledge = Knowledge.open(done)
        for warning in knowledge.manifest.get("warnings", []):
            self.say(f"  warning: {warning}")
        return Taught(knowledge, digest_of_stage(done))

    def _student(self, name: str, seed: int, taught: Taught | None = None) -> Path:
        """Trained alone, or distilled."""
        settings = self.recipe.student
        training = stages.training_of(settings.train.with_changes(seed=seed), taught=taught is not None)
        inputs = {
            "data": self.data_key,
            "model": settings.model.model_dump(mode="json"),
            "train": training.model_dump(mode="json", exclude=SPEED_ONLY),
            "validation": self._validation(),
            **self._decides_teaching(seed, taught),
        }

        def work(folder: Path) -> None:
            stages.train_student(
                settings.model,
                settings.train.with_changes(seed=seed),
                self.prepared,
                folder,
                validate=self.validate,
                say=self.say,
                quiet=self.quiet,
                **self._teaching(seed, taught),
            )
            forget_checkpoint(folder)

        done = self.folder.stage(f"{name}/seed-{seed}", inputs, work)
        track(self.folder.path, self.recipe.track)
        return done

    def _decides_teaching(self, seed: int, taught: Taught | None) -> dict[str, Any]:
        """All that decides what a student hears of its teacher, as plain values."""
        if taught is None:
            return {"knowledge": None, "live": None, "distil": None}
        distil, live = self.recipe.distil, self.recipe.knowledge.source == "live"
        told = {"knowledge": taught.key, "live": live, "distil": distil.model_dump(mode="json")}
        return told | ({"alone": digest_of_stage(self._alone(seed))} if distil.measures_advantage else {})

    def _teaching(self, seed: int, taught: Taught | None) -> dict[str, Any]:
        """What `train_student` is told of the teacher."""
        if taught is None:
            return {}
        distil = self.recipe.distil
        told: dict[str, Any] = {"knowledge": taught.knowledge, "distil": distil}
        if distil.layers or distil.measures_advantage:
            told["teacher"] = _model_of(self.teacher)  # a recipe whose teacher is no model is refused
        if distil.measures_advantage:
            alone, max_length = _model_of(self._alone(seed)), self.recipe.student.model.max_length
            told["advantage"] = advantage(
                told["teacher"], alone, self.prepared, self.recipe.evaluate, max_length=max_length
            )
        return told

    def _alone(self, seed: int) -> Path:
        return self.folder.path / ALONE / f"seed-{seed}"

    def _validation(self) -> list[Any]:
        return [self.recipe.evaluate.metric, self.recipe.evaluate.exclude_history]

    def _judge(self, name: str, models: list[Path]) -> None:
        """Evaluate one model, or the seeds of one, on test; per-user values are the mean over seeds."""
        settings = self.recipe.evaluate.model_dump(mode="json", include={"cutoffs", "exclude_history"})
        artefacts = [digest_of_model(model / "artefact") for model in models]

        def work(folder: Path) -> None:
            found: list[Evaluation] = []
            for model in models:
                recommender = Recommender.from_pretrained(model / "artefact")
                shown = self._lists(recommender.n_items)
                found.append(stages.judge(recommender, self.prepared, self.recipe.evaluate, watch=shown))
                if len(found) == 1:  # of several seeds, what the first shows
                    save_lists(folder, shown.items)
            average(found).save(folder)
            write_json(folder / "seeds.json", {"means": [{m: f.mean(m) for m in f.metrics} for f in found]})

        self.folder.stage(f"evaluation/{name}", {"data": self.data_key, "models": artefacts, **settings}, work)

    def _lists(self, n_items: int) -> TopLists:
        """Notes what a model shows while it is judged."""
        return TopLists(len(self.prepared.split.test), n_items, k=min(LIST_LENGTH, n_items))

    def _latencies(self, artefacts: dict[str, list[Path]]) -> dict[str, Latency]:
        """Time every model once; a second call of the same run does not measure again."""
        firsts = {name: paths[0] for name, paths in artefacts.items()}
        digests = {name: digest_of_model(path) for name, path in firsts.items()}
        requests = self.recipe.evaluate.latency_requests

        def work(folder: Path) -> None:
            found = milliseconds_of_requests(firsts, some_histories(self.prepared), requests=requests)
            write_json(folder / "milliseconds.json", found)
            write_json(folder / "machine.json", machine_facts())
            write_json(folder / "latency.json", {name: vars(Latency.of(times)) for name, times in found.items()})

        done = self.folder.stage("latency", {"data": self.data_key, "models": digests, "requests": requests}, work)
        return {name: Latency(**values) for name, values in read_json(done / "latency.json").items()}

    def _costs(self, artefacts: dict[str, list[Path]]) -> CostTable | None:
        """What each model costs beside time, where the recipe asks for it."""
        settings, requests = self.recipe.costs, self.recipe.evaluate.latency_requests
        if settings is None:
            return None
        firsts = {name: artefacts[name][0] for name in TITLES if name in artefacts}
        return measured_costs(self.folder, firsts, self.prepared, settings, requests=requests)

    def _finish(self, models: dict[str, list[Path]]) -> Run:
        artefacts = {name: [path / "artefact" for path in paths] for name, paths in models.items()}
        student = artefacts[DISTILLED][0]
        evaluations = {name: self.folder.path / "evaluation" / name for name in models}
        encoder = read_json(self.vectors / "encoder.json") if self.vectors else None
        latencies, costs = self._latencies(artefacts), self._costs(artefacts)
        results = gather_results(self.recipe, evaluations, artefacts, latencies, costs, encoder=encoder)
        publish(self.folder.path, self.recipe, self.prepared, results, student=student)
        if self.recipe.also_split is not None:
            results = replace(results, splits=self._on_second_split(self.recipe.also_split, results))
            publish(self.folder.path, self.recipe, self.prepared, results, student=student)
        for line in track(self.folder.path, self.recipe.track):
            self.say(f"tracked; see: {line}")
        return Run(self.folder.path, self.recipe, results, self.prepared)

    def _on_second_split(self, second: SplitSettings, results: Results) -> BothSplits:
        """Run the recipe on it, in a folder of its own, and put what was found beside what the first split says."""

        def say(line: str) -> None:
            self.say(line if line.startswith(" ") else f"{ALSO}/{line}")

        place = self.folder.path / ALSO
        run(second_recipe(self.recipe, second), place, say=say, quiet=self.quiet)
        names = titles(self.recipe.data.split, second)
        found = {
            split: {TITLES[row.name]: Evaluation.load(folder / "evaluation" / row.name) for row in results.rows}
            for split, folder in zip(names, (self.folder.path, place), strict=True)
        }
        return BothSplits.of(found, results.metric)


def _model_of(folder: Path) -> Model:
    return Recommender.from_pretrained(folder / "artefact").model

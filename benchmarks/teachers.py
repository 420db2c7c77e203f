"""Teachers of every kind on one data set: validation and test figures in one table.

    python benchmarks/teachers.py recipes/teachers/beauty.yaml [--only REGEX]

Each teacher is trained once: interrupted, the same command goes on where it stopped; done, it prints the table again.
Everything was chosen on validation. Test is looked at when all teachers are done.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pydantic import Field
from rich.console import Console
from rich.table import Table

from distilrec.config import Settings, load_yaml, parse
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import SettingsError
from distilrec.evaluate.compare import compare
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json, write_json
from distilrec.recommender import Recommender
from distilrec.run import stages
from distilrec.run.folder import RunFolder, digest_of_stage
from distilrec.run.recipe import DataSettings, EvaluateStage
from distilrec.run.teacher_stages import EnsembleTeacher, SavedTeacher, TeacherStage, reads_vectors, without_speed
from distilrec.run.teachers import Lessons, fit_teacher, forget_checkpoint, score_of

METRIC = "ndcg@10"
_RECIPES = [Path("recipes/teachers/ml-1m.yaml"), Path("recipes/teachers/beauty.yaml")]


class Bench(Settings):
    """What is compared."""

    data: DataSettings
    """The log and its split."""
    encode: EncodeSettings = EncodeSettings()
    """The encoder, for teachers that read its vectors."""
    teachers: dict[str, TeacherStage]
    """Each teacher's name in the table and its settings; `{kind: saved, model: NAME}` means another of these."""
    compare: tuple[tuple[str, str], ...] = Field(())
    """Pairs of names to compare by a paired bootstrap over users."""

    def only(self, pattern: str) -> Bench:
        """The same with fewer teachers."""
        kept = {name: stage for name, stage in self.teachers.items() if re.fullmatch(pattern, name)}
        if not kept:
            raise SettingsError(f"no teacher is called {pattern!r}; there are: {', '.join(self.teachers)}")
        pairs = tuple(pair for pair in self.compare if all(name in kept for name in pair))
        return self.model_copy(update={"teachers": kept, "compare": pairs})


class Work:
    """One run of the benchmark in its folder."""

    def __init__(self, bench: Bench, out: Path) -> None:
        self.bench, self.folder = bench, RunFolder(out, say=print)
        self.judging = EvaluateStage(cutoffs=(5, 10, 20), metric=METRIC)

    def run(self) -> None:
        """Prepare, encode, teach, judge, print."""
        self.prepare()
        done = {name: self._teach(name, stage) for name, stage in self.bench.teachers.items()}
        found = {name: self._judge(name, folder) for name, folder in done.items()}
        self._print(done, found)

    def prepare(self) -> None:
        """Read, split and encode."""
        interactions, lines = stages.read_log(self.bench.data)
        self.folder.claim(data_digest=interactions.digest())
        settings = self.bench.data.model_dump(mode="json", include={"filter", "split"})
        data = self.folder.stage(
            "data", settings, lambda f: print(*lines, *stages.prepare(interactions, self.bench.data, f), sep="\n")
        )
        self.prepared, self.key = stages.load_prepared(data), digest_of_stage(data)
        self.vectors = self.folder.stage(
            "vectors",
            {"data": self.key, **self.bench.encode.model_dump(mode="json", exclude={"token_budget", "device"})},
            lambda folder: stages.encode(self.prepared, self.bench.encode, folder),
        )

    def lessons(self, stage: TeacherStage) -> Lessons:
        """What a teacher is made from."""
        return Lessons(
            self.prepared,
            self.vectors if reads_vectors(stage) else None,
            self.bench.encode.template if isinstance(self.bench.encode.template, str) else None,
            stages.validator(self.prepared, self.judging),
        )

    def _teach(self, name: str, stage: TeacherStage) -> Path:
        stage = self._with_places(stage)
        lessons = self.lessons(stage)

        def work(folder: Path) -> None:
            fit_teacher(stage, lessons, folder, name=name)
            forget_checkpoint(folder)

        inputs = {
            "data": self.key,
            "vectors": digest_of_stage(self.vectors),
            "stage": without_speed(stage.model_dump(mode="json")),
        }
        if isinstance(stage, EnsembleTeacher):
            inputs["members"] = [digest_of_stage(m.model) for m in stage.members if isinstance(m, SavedTeacher)]
        return self.folder.stage(f"teachers/{name}", inputs, work)

    def _with_places(self, stage: TeacherStage) -> TeacherStage:
        """An ensemble whose saved members are looked for among the teachers of this benchmark."""
        if not isinstance(stage, EnsembleTeacher):
            return stage
        root = self.folder.path / "teachers"
        members = [m.with_changes(model=root / m.model) if isinstance(m, SavedTeacher) else m for m in stage.members]
        return stage.with_changes(members=[m.model_dump(mode="json") for m in members])

    def _judge(self, name: str, teacher: Path) -> Evaluation:
        def work(folder: Path) -> None:
            recommender = Recommender.from_pretrained(teacher / "artefact")
            stages.judge(recommender, self.prepared, self.judging).save(folder)

        return Evaluation.load(self.folder.stage(f"test/{name}", {"teacher": digest_of_stage(teacher)}, work))

    def _print(self, done: dict[str, Path], found: dict[str, Evaluation]) -> None:
        head = ["teacher", "kind", "parameters", "epochs", "minutes", "validation", "test NDCG@10 [95 %]", "Recall@10"]
        rows = [self._row(name, folder, found[name]) for name, folder in done.items()]
        table = Table(*head)
        for row in rows:
            table.add_row(*row)
        Console(width=160).print(table)
        lines = [compare(found[a], found[b], metric=METRIC, names=(a, b)).sentence() for a, b in self.bench.compare]
        for name, stage in self.bench.teachers.items():
            if isinstance(stage, EnsembleTeacher):
                settings = Recommender.from_pretrained(done[name] / "artefact").model.settings
                told = ", ".join(
                    f"{w:.3f} (temperature {t:.2f})"
                    for w, t in zip(settings.weights, settings.temperatures, strict=True)
                )
                lines.append(f"{name}: weights {told}")
        print(*lines, sep="\n")
        write_json(self.folder.path / "table.json", {"head": head, "rows": rows, "lines": lines})

    def _row(self, name: str, folder: Path, found: Evaluation) -> list[str]:
        training, interval = read_json(folder / "training.json"), found.interval(METRIC)
        parameters = int(read_json(folder / "artefact" / "config.json")["n_parameters"])
        return [
            name,
            self.bench.teachers[name].kind,
            f"{parameters:,}",
            f"{training['best_epoch'] + 1} of {len(training['epochs'])}" if training["epochs"] else "-",
            f"{read_json(folder / 'stage.json')['seconds'] / 60:.1f}",
            f"{score_of(folder):.4f}",
            f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]",
            f"{found.mean('recall@10'):.4f}",
        ]


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="*", default=_RECIPES, help="which data and which teachers")
    parser.add_argument("--only", metavar="REGEX", help="only teachers whose whole name this matches")
    parser.add_argument("--out", type=Path, default=Path("runs/teachers"), help="where to keep everything")
    options = parser.parse_args()
    for recipe in options.recipe:
        bench = parse(Bench, load_yaml(recipe), where=str(recipe))
        Work(bench if options.only is None else bench.only(options.only), options.out / recipe.stem).run()


if __name__ == "__main__":
    main()

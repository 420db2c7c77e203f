"""Other libraries beside us on one data set: the same split, the same evaluator, and theirs to check ours.

    python benchmarks/peers/side_by_side.py beauty                       # every peer; hours on two cores
    python benchmarks/peers/side_by_side.py beauty --peers als ease      # minutes
    python benchmarks/peers/side_by_side.py beauty --print               # trains nothing: the table of what there is

Each peer is trained once, in its own virtual environment (`environment.py`), and kept: the same command goes on with
those that are missing. A training longer than `--minutes` is left for later, and its row says so: the same command goes
on with it after the last whole epoch, as it does after a kill. Models of ours are those found in `--ours`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agreement import Figures, lists_to, their_figures
from environment import FOLDER, pins, python_of
from known import PEERS, Peer
from sequences import SPLITS, write_sequences
from table import show

from distilrec.config import load_yaml, parse
from distilrec.errors import DistilRecError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.files import judge_files
from distilrec.files import PARTIAL, read_json, sha256_of_file
from distilrec.run import stages
from distilrec.run.folder import RunFolder, digest_of_stage
from distilrec.run.recipe import DataSettings
from distilrec.run.stages import Prepared
from models import Row, answers_in, cell_names, judge_own, own_folders, own_row, peer_row

THEIRS = Path(__file__).parent / "theirs"
_CUTOFFS = (10,)
_KEEP_MEMORY = {  # glibc keeps what is freed instead of fetching it anew each step: RecBole trains a fifth faster
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "-1",
    "MALLOC_TOP_PAD_": str(2**28),
}


class CutOff(Exception):  # noqa: N818  (nothing went wrong)
    """A training whose minutes are over; what it has learnt lies in its folder."""


class SideBySide:
    """One data set, its peers and our models, in a folder."""

    def __init__(self, data: str, options: argparse.Namespace) -> None:
        self.data, self.options = data, options
        self.folder = RunFolder(options.out / data, say=print)
        recipe = Path("recipes/teachers") / f"{data}.yaml"
        settings = parse(DataSettings, load_yaml(recipe)["data"], where=f"{recipe}: data")
        interactions, _ = stages.read_log(settings)
        self.folder.claim(data_digest=interactions.digest())
        inputs = settings.model_dump(mode="json", include={"filter", "split"})
        place = self.folder.stage("data", inputs, lambda f: print(*stages.prepare(interactions, settings, f)))
        self.prepared: Prepared = stages.load_prepared(place)
        told = {"data": digest_of_stage(place), "code": sha256_of_file(Path(__file__).with_name("sequences.py"))}
        self.heard = self.folder.stage("heard", told, lambda f: write_sequences(self.prepared, f))

    def train(self, name: str) -> None:
        """Train a peer unless it was, or go on with it; raise `CutOff` as `run_peer` does."""
        peer = PEERS[name]
        settings = {**peer.settings[self.data], "seed": 0}
        inputs = {"heard": digest_of_stage(self.heard), "settings": settings, **code_of(peer)}

        self.folder.stage(
            f"peers/{name}", inputs, lambda folder: run_peer(peer, settings, self.heard, folder, self.options)
        )

    def rows(self) -> list[tuple[Row, Path]]:
        """Everything that can be judged, and where it lies: peers as they are listed, then ours, best first."""
        found: list[tuple[Row, Path]] = []
        for name, peer in PEERS.items():
            place = self.place_of(name)
            if place is not None:
                answers = answers_in(place)
                found.append((peer_row(peer.title, place, self._judge_peer(name, answers, place)), answers))
        ours: list[tuple[Row, Path]] = []
        names = self._cell_names()
        for name, place in own_folders(self._roots()).items():
            judged = self._judged(
                f"judged/ours/{name}",
                {"model": digest_of_stage(place)},
                lambda place=place: judge_own(place, self.prepared, SPLITS, cutoffs=_CUTOFFS),
            )
            ours.append((own_row(names.get(place, name), place, judged), place))
        best = f"ndcg@{_CUTOFFS[0]}"
        return found + sorted(ours, key=lambda one: -one[0].evaluations["validation"].mean(best))

    def _roots(self) -> list[Path]:
        if self.options.ours is not None:
            return list(self.options.ours)
        return [Path("runs") / self.data, Path("runs/teachers") / self.data, Path("runs/quality") / self.data]

    def _cell_names(self) -> dict[Path, str]:
        """What cells of proofs are called, behind the proof's own name where it is not that of the data."""
        names: dict[Path, str] = {}
        for root in self._roots():
            called = cell_names(Path("recipes/quality") / f"{root.name}.yaml", root)
            before = "" if root.name == self.data else f"{root.name}/"
            names |= {place: before + name for place, name in called.items()}
        return names

    def place_of(self, name: str) -> Path | None:
        """Where a peer's answer lies; none where there is none."""
        return place_of_report(self.folder.path / "peers" / name)

    def _judge_peer(self, name: str, answers: Path, place: Path) -> dict[str, Evaluation]:
        told = {"report": sha256_of_file(place / "report.json")}
        return self._judged(f"judged/peers/{name}", told, lambda: self._read_peer(answers))

    def _read_peer(self, answers: Path) -> dict[str, Evaluation]:
        n_items = self.prepared.interactions.n_items
        return {
            split: judge_files(
                answers, split, self.prepared.cases(split), n_items=n_items, cutoffs=_CUTOFFS, quiet=True
            )
            for split in SPLITS
        }

    def _judged(self, stage: str, told: dict[str, Any], judge: Any) -> dict[str, Evaluation]:  # noqa: ANN401
        def work(folder: Path) -> None:
            for split, evaluation in judge().items():
                evaluation.save(folder / split)

        place = self.folder.stage(stage, {"split": self.prepared.split.digest(), **told}, work)
        return {split: Evaluation.load(place / split) for split in SPLITS}


def run_peer(peer: Peer, settings: dict[str, Any], heard: Path, folder: Path, options: argparse.Namespace) -> None:
    """Train a peer in its own environment, into a folder, on so many threads for so many minutes.

    Raises:
        CutOff: it has not learnt all, and its minutes are over.
    """
    python = python_of(peer.environment, options.venvs)
    places = [str(path.absolute()) for path in (python, THEIRS / peer.scripts[0], heard, folder)]
    given = {"threads": options.threads, "minutes": options.minutes}  # neither makes another model
    command = [*places, json.dumps({**settings, **given})]
    variables = environment(options.threads, keep_memory=True)
    subprocess.run(command, check=True, env=variables, cwd=folder)  # RecBole leaves logs where it is run
    report = read_json(folder / "report.json")
    if not report["finished"]:
        raise CutOff(f"{peer.title}: {report['epochs']} epochs are not all it can learn; the same command goes on")


def place_of_report(whole: Path) -> Path | None:
    """Where a stage's report lies, whole or as far as it is; none where there is none."""
    places = (whole, whole.with_name(f"{whole.name}{PARTIAL}"))
    return next((place for place in places if (place / "report.json").is_file()), None)


@contextmanager
def failures_told() -> Iterator[None]:
    """Ends the program with a sentence where ours or a peer's failed."""
    try:
        yield
    except DistilRecError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"a peer's program ended with {error.returncode}; what it said is above. The same command tries again")


def code_of(peer: Peer) -> dict[str, str]:
    """Digests of all that decides what a peer answers, beside its settings."""
    scripts = {name: sha256_of_file(THEIRS / name) for name in peer.scripts}
    return {**scripts, "pins": sha256_of_file(pins(peer.environment))}


def environment(threads: int, *, keep_memory: bool) -> dict[str, str]:
    """Variables of a peer's process: our own packages are not on its path."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**kept, **dict.fromkeys(names, str(threads)), **(_KEEP_MEMORY if keep_memory else {})}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train what is missing, judge what is there, show."""
    options = _options(arguments)
    with failures_told():
        for data in options.data:
            work = SideBySide(data, options)
            with work.folder.locked():
                asked = [name for name in options.peers if data in PEERS[name].settings]
                for name in () if options.print else asked:
                    try:
                        work.train(name)
                    except CutOff as so_far:
                        print(so_far)
                rows = work.rows()
                theirs: dict[str, Figures] = {}
                if rows and not options.without_their_metrics:
                    lists = lists_to(work.folder.path / "lists", rows, work.prepared)
                    theirs = their_figures(lists, options.venvs, THEIRS)
            show(data, rows, theirs, options.results)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", default=["beauty"], choices=["beauty", "ml-1m"], help="which data sets")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), help="which to train")
    parser.add_argument("--print", action="store_true", help="train nothing; show what there is")
    parser.add_argument("--minutes", type=float, default=600, help="of training a peer, this time")
    parser.add_argument("--threads", type=int, default=2, help="of each peer")
    parser.add_argument("--venvs", type=Path, default=FOLDER, help="where the peers' environments are")
    parser.add_argument("--out", type=Path, default=Path("runs/peers"), help="where to keep everything")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"), help="where the table goes")
    parser.add_argument("--ours", type=Path, nargs="*", help="folders of runs with models of ours")
    parser.add_argument("--without-their-metrics", action="store_true", help="judge by our evaluator alone")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

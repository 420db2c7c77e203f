"""A student made ready to be served: graphs beside its artefact, and the certificate that they agree with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from distilrec.config import Settings
from distilrec.errors import ArtifactError, SettingsError
from distilrec.export.all_in_one import all_in_one_graph
from distilrec.export.encoder import encoder_graph
from distilrec.export.parity import Parity, check_parity, parity
from distilrec.exported import ALL_IN_ONE, ENCODER, EXPORT, PARITY, read_export, write_export
from distilrec.files import atomic_path, sha256_of_file, write_json
from distilrec.models.product_form import ProductForm
from distilrec.recommender import Recommender
from distilrec.run.stages import load_prepared
from distilrec.search import rows_of
from distilrec.seeding import generator
from distilrec.serve.all_in_one import AllInOne
from distilrec.serve.runtime import Runtime
from distilrec.storage import Packed
from distilrec.types import IntArray

_TABLES = ("table.weight", "inputs.weight")


class ExportSettings(Settings):
    """What is exported, and how exact it has to be."""

    all_in_one: bool = True
    """Whether the graph that holds the table is written too."""
    tolerance: float = Field(1e-4, gt=0)
    """How far a score may be from the model's own, as a share of the spread of a history's scores."""
    histories: int = Field(200, ge=1)
    """How many histories the certificate is about."""


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    folder: Path
    parities: tuple[Parity, ...]
    real: bool
    """Whether the histories of the certificate are of real users, or made up."""
    digest: str

    def lines(self) -> list[str]:
        """For people."""
        which = "validation users" if self.real else "made-up users, since no data was given"
        return [*(found.sentence() for found in self.parities), f"Parity was looked at on histories of {which}."]


def export(
    artefact: Path,
    out: Path,
    settings: ExportSettings | None = None,
    *,
    histories: Sequence[IntArray] | None = None,
    against: Recommender | None = None,
) -> ExportReport:
    """Write an exported folder: the artefact itself, the graphs, the certificate.

    Args:
        artefact: a saved model of product form; it is not altered.
        out: the folder; an older export there is replaced.
        histories: row numbers of real users' items, oldest first, for the certificate; none makes some up.
        against: the model before it was compressed, to say how far this one is from it too.

    Raises:
        ArtifactError: the model is of a kind that is not exported, or the graphs do not say what it says; then nothing
            is written.
        SettingsError: `out` is the artefact itself.
    """
    settings = settings or ExportSettings()
    if out.resolve() == artefact.resolve():
        raise SettingsError(f"{out} is the model itself; export to another folder")
    _refuse_other_folder(out)
    recommender = Recommender.from_pretrained(artefact)
    model = recommender.model
    if not isinstance(model, ProductForm):
        raise ArtifactError(
            f"a {model.kind} is not exported: only models whose scores are history vectors times item vectors are. "
            "Distil a student from it, and export that"
        )
    asked = _histories(histories, recommender, settings.histories)
    with atomic_path(out) as place:
        recommender.save_pretrained(place)
        encoder, packed = encoder_graph(model), recommender.packed or Packed.of(model.state())
        (place / ENCODER).write_bytes(encoder)
        read = _input_table(model)
        if settings.all_in_one:
            ranked = rows_of(packed)
            tables = rows_of(packed, read), ranked
            (place / ALL_IN_ONE).write_bytes(all_in_one_graph(encoder, *tables, same_table=read == _TABLES[0]))
        about = {"input_table": read, "max_length": model.max_length, "kind": model.kind}
        write_json(place / PARITY, {})
        write_export(place, about)
        found = _certify(place, recommender, asked, settings, against)
        certificate = {"real_histories": histories is not None, "compared": [asdict(one) for one in found]}
        write_json(place / PARITY, certificate)
        write_export(place, about)
    return ExportReport(out, tuple(found), histories is not None, sha256_of_file(out / EXPORT))


def _certify(
    folder: Path,
    recommender: Recommender,
    histories: Sequence[IntArray],
    settings: ExportSettings,
    against: Recommender | None,
) -> list[Parity]:
    runtime = Runtime(read_export(folder))
    found = [parity("ONNX beside torch", recommender, runtime, histories)]
    if settings.all_in_one:
        whole = AllInOne((folder / ALL_IN_ONE).read_bytes(), n_items=runtime.n_items, max_length=runtime.max_length)
        found.append(parity("all-in-one graph beside torch", recommender, whole, histories))
    for one in found:
        check_parity(one, tolerance=settings.tolerance)
    if against is not None:
        found.append(parity("ONNX, compressed, beside torch, not compressed", against, runtime, histories))
    return found


def real_histories(prepared: Path, count: int) -> list[IntArray]:
    """Histories of validation users of prepared data, spread evenly."""
    cases = load_prepared(prepared).split.validation
    kept = [history for history in cases.histories if len(history)]
    chosen = np.linspace(0, len(kept) - 1, num=min(count, len(kept)), dtype=np.int64)
    return [kept[int(row)] for row in chosen]


def _histories(given: Sequence[IntArray] | None, recommender: Recommender, count: int) -> list[IntArray]:
    n_items, longest = recommender.n_items, recommender.max_length or 1
    if given is not None:
        largest = max((int(history.max()) for history in given if len(history)), default=-1)
        if largest >= n_items:
            raise ArtifactError(
                f"the histories name item {largest}, and the model ranks {n_items} items: they are of other data"
            )
        return [history[-longest:] for history in given]
    draw = generator(0, "export histories")
    return [draw.integers(0, n_items, size=int(draw.integers(1, longest + 1))) for _ in range(count)]


def _refuse_other_folder(out: Path) -> None:
    """An older export is replaced; anything else stays."""
    if out.exists() and not (out / EXPORT).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} is there and is no exported model; name another folder")


@torch.no_grad()
def _input_table(model: ProductForm) -> str:
    """The name of the array that a history's items are looked up in."""
    read, state = model.input_vectors(model.item_vectors()).numpy(), model.state()
    for name in _TABLES:
        if name in state and state[name].shape == read.shape and np.array_equal(state[name], read):
            return name
    raise ArtifactError(f"a {model.kind} reads items from a table that is not stored; it cannot be exported")

"""A student made ready to be served: graphs beside its artefact, and the certificate that they agree with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from distilrec.artifact import CARD, CODES, CONFIG, ITEMS, TENSORS, Artifact, read_artifact
from distilrec.config import Settings
from distilrec.errors import ArtifactError, SettingsError
from distilrec.export.all_in_one import all_in_one_graph
from distilrec.export.encoder import encoder_graph
from distilrec.export.int8 import Sample, int8_encoder
from distilrec.export.parity import Parity, check_overlap, check_parity, parity
from distilrec.exported import ALL_IN_ONE, ENCODER, EXPORT, PARITY, Exported, write_codes, write_export
from distilrec.files import atomic_path, sha256_of_file, write_json
from distilrec.models.product_form import ProductForm
from distilrec.recommender import Recommender
from distilrec.run.asked_histories import made_up_histories, newest
from distilrec.search import codes_to_keep, rows_of
from distilrec.serve.all_in_one import AllInOne
from distilrec.serve.runtime import Runtime
from distilrec.storage import Packed
from distilrec.storage.form import Array
from distilrec.types import IntArray

_TABLES = ("table.weight", "inputs.weight")
_HEADING = "\n## Parity\n"


class ExportSettings(Settings):
    """What is exported, and how exact it has to be."""

    encoder: Literal["float32", "int8_dynamic", "int8_static"] = "float32"
    """Numbers of the encoder's products with weights: as they are, or int8, whose range is measured at every request
    or once, on histories of real users."""
    all_in_one: bool = True
    """Whether the graph that holds the table is written too."""
    codes: bool = True
    """Whether a table so large that learning the codes of a fast scan takes seconds has them written beside it."""
    tolerance: float = Field(1e-4, gt=0)
    """How far a score may be from the model's own, as a share of the spread of a history's scores."""
    least_overlap: float = Field(0.9, ge=0, le=1)
    """The share of the ten best items that an encoder in int8 must leave as they are, on average."""
    histories: int = Field(200, ge=1)
    """How many histories the certificate is about."""
    calibration: int = Field(200, ge=1)
    """How many histories the range of numbers is measured on."""


@dataclass(frozen=True)
class ExportReport:
    """What was written."""

    folder: Path
    parities: tuple[Parity, ...]
    real: bool
    """Whether the histories of the certificate are of real users, or made up."""
    digest: str
    codes_bytes: int = 0
    """Of the codes of a fast scan; 0 where none were kept."""

    def lines(self) -> list[str]:
        """For people."""
        return _lines(self.parities, self.real, self.codes_bytes)


def export(
    artefact: Path,
    out: Path,
    settings: ExportSettings | None = None,
    *,
    histories: Sequence[IntArray] | None = None,
    calibration: Sequence[IntArray] | None = None,
    against: Recommender | None = None,
) -> ExportReport:
    """Write an exported folder: the artefact itself, the graphs, the certificate.

    Args:
        artefact: a saved model of product form; it is not altered.
        out: the folder; an older export there is replaced.
        histories: row numbers of real users' items, oldest first, for the certificate; none makes some up.
        calibration: the same of other users, for `int8_static`.
        against: the model before it was compressed, to say how far this one is from it too.

    Raises:
        ArtifactError: the model is of a kind that is not exported, or the graphs do not say what it says; then nothing
            is written.
        SettingsError: `out` is the artefact itself, or `int8_static` has nothing to be calibrated on.
    """
    settings = settings or ExportSettings()
    _refuse_other_folder(out, artefact)
    recommender = Recommender.from_pretrained(artefact)
    model, real = _exportable(recommender), histories is not None
    asked = made_up_histories(recommender, settings.histories)
    if histories is not None:
        asked = newest(histories, recommender)
    artifact, graph = read_artifact(artefact), encoder_graph(model)
    codes = _codes(artifact) if settings.codes else None
    exported = Exported(artifact, graph, _input_table(model), model.max_length, digest="", codes=codes)
    found = [_same(parity("ONNX beside torch", recommender, Runtime(exported), asked), settings)]
    if settings.encoder != "float32":
        samples = None if settings.encoder == "int8_dynamic" else _samples(calibration, recommender, model)
        exported = replace(exported, encoder=int8_encoder(exported.encoder, samples))
        name = f"ONNX with an encoder in {settings.encoder} beside torch"
        found.append(parity(name, recommender, Runtime(exported), asked, at_once=1))
        check_overlap(found[-1], least=settings.least_overlap)
    graphs = {ENCODER: exported.encoder}
    if settings.all_in_one:
        graphs[ALL_IN_ONE] = _whole_graph(exported)
        plain = settings.encoder == "float32"
        found.append(
            _same(_whole_parity(graphs[ALL_IN_ONE], exported, recommender if plain else None, asked), settings)
        )
    if against is not None:
        _check_same_catalogue(against, recommender)
        found.append(parity("ONNX, compressed, beside torch, not compressed", against, Runtime(exported), asked))
    certificate = {"real_histories": real, **settings.model_dump(), "compared": [asdict(one) for one in found]}
    codes_bytes = sum(array.nbytes for array in (codes or {}).values())
    _write(out, artefact, exported, graphs, certificate, _lines(found, real, codes_bytes))
    return ExportReport(out, tuple(found), real, sha256_of_file(out / EXPORT), codes_bytes)


def _write(
    out: Path,
    artefact: Path,
    exported: Exported,
    graphs: Mapping[str, bytes],
    certificate: Mapping[str, Any],
    lines: Sequence[str],
) -> None:
    with atomic_path(out) as place:
        _copy_artefact(artefact, place, lines)
        for name, graph in graphs.items():
            (place / name).write_bytes(graph)
        if exported.codes is not None:
            write_codes(place, exported.codes)
        write_json(place / PARITY, certificate)
        write_export(place, {"input_table": exported.input_table, "max_length": exported.max_length})


def _exportable(recommender: Recommender) -> ProductForm:
    model = recommender.model
    if not isinstance(model, ProductForm):
        raise ArtifactError(
            f"a {model.kind} is not exported: only models whose scores are history vectors times item vectors are. "
            "Distil a student from it, and export that"
        )
    return model


def _codes(artifact: Artifact) -> dict[str, Array] | None:
    kept = codes_to_keep(Packed.read(artifact.tensors, artifact.stored))
    return None if kept is None else kept.to_arrays()


def _whole_graph(exported: Exported) -> bytes:
    packed = Packed.read(exported.artifact.tensors, exported.artifact.stored)
    read, ranked = rows_of(packed, exported.input_table), rows_of(packed, _TABLES[0])
    return all_in_one_graph(exported.encoder, read, ranked, same_table=exported.input_table == _TABLES[0])


def _whole_parity(graph: bytes, exported: Exported, torch_: Recommender | None, asked: Sequence[IntArray]) -> Parity:
    """Beside torch, or where the encoder is rounded, beside what has the same encoder."""
    runtime = Runtime(exported)
    whole = AllInOne(graph, n_items=runtime.n_items, max_length=runtime.max_length)
    if torch_ is not None:
        return parity("all-in-one graph beside torch", torch_, whole, asked)
    # one by one: a range that is measured over a whole call counts padding, too
    return parity("all-in-one graph beside the encoder and the table", runtime, whole, asked, at_once=1)


def _same(found: Parity, settings: ExportSettings) -> Parity:
    check_parity(found, tolerance=settings.tolerance)
    return found


@torch.no_grad()
def _samples(calibration: Sequence[IntArray] | None, recommender: Recommender, model: ProductForm) -> list[Sample]:
    if not calibration:
        raise SettingsError(
            "int8_static is calibrated on histories of real users, and there are none; name prepared data, or take "
            "int8_dynamic"
        )
    table = model.input_vectors(model.item_vectors()).numpy()  # [N, D_in]
    return [(table[rows][None], np.array([len(rows)])) for rows in newest(calibration, recommender)]


def _check_same_catalogue(first: Recommender, recommender: Recommender) -> None:
    if not first.items["item_id"].equals(recommender.items["item_id"]):
        raise ArtifactError(
            f"the model before it was compressed ranks {first.n_items} items and this one {recommender.n_items}, or "
            "others: they can't be compared"
        )


def _copy_artefact(artefact: Path, place: Path, lines: Iterable[str]) -> None:
    """The same bytes, so the same digests; only the card says more."""
    place.mkdir()
    for name in (CONFIG, TENSORS, ITEMS):
        shutil.copyfile(artefact / name, place / name)
    card = (artefact / CARD).read_text(encoding="utf-8") if (artefact / CARD).is_file() else ""
    section = "".join(f"- {line}\n" for line in lines)
    (place / CARD).write_text(f"{card.partition(_HEADING)[0]}{_HEADING}\n{section}", encoding="utf-8", newline="\n")


def _lines(parities: Iterable[Parity], real: bool, codes_bytes: int) -> list[str]:
    which = "validation users" if real else "made-up users, since no data was given"
    lines = [*(found.sentence() for found in parities), f"Parity was looked at on histories of {which}."]
    if codes_bytes:
        lines.append(f"{CODES} has the codes that the table is scanned by, {codes_bytes / 1e6:.1f} MB, learnt once.")
    return lines


def _refuse_other_folder(out: Path, artefact: Path) -> None:
    """An older export is replaced; anything else stays."""
    if out.resolve() == artefact.resolve():
        raise SettingsError(f"{out} is the model itself; export to another folder")
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

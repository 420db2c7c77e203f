"""What an artefact weighs, by part: numbers, the form they are stored in, bytes, and bytes had they been float32."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from distilrec.artifact import CARD, CODES, CONFIG, ITEMS, TENSORS, read_artifact
from distilrec.errors import ArtifactError
from distilrec.exported import ALL_IN_ONE, ENCODER, EXPORT, PARITY
from distilrec.files import is_leftover
from distilrec.storage.form import Array
from distilrec.storage.names import is_item_table, part_of
from distilrec.storage.packed import Packed

_FLOAT_BYTES = 4
_FILES = (
    ("catalogue", ITEMS, "parquet"),
    ("card", CARD, "text"),
    ("config", CONFIG, "json"),
    ("codes of the fast scan", CODES, "uint8"),
    ("encoder's graph", ENCODER, "onnx"),
    ("all-in-one graph", ALL_IN_ONE, "onnx"),
    ("certificate", PARITY, "json"),
    ("digests", EXPORT, "json"),
)


@dataclass(frozen=True)
class PartSize:
    """One part of an artefact."""

    name: str
    form: str  # "int8"; several, the largest first: "int8, float16"
    numbers: int  # that the model works with; 0 for what are none
    stored_bytes: int
    plain_bytes: int  # had nothing been compressed: four bytes a real number


@dataclass(frozen=True)
class Sizes:
    """Every byte of an artefact, exported or not: the parts of the model, names of arrays, and the other files."""

    arrays: tuple[PartSize, ...]
    others: tuple[PartSize, ...]
    item_table: PartSize  # of the arrays, those with a row an item, together

    @property
    def parts(self) -> tuple[PartSize, ...]:
        """All parts, the model's first."""
        return (*self.arrays, *self.others)

    @property
    def weights(self) -> PartSize:
        """The model's arrays together."""
        return _together("model", self.arrays)

    @property
    def total(self) -> PartSize:
        """All that is shipped."""
        return _together("all that is shipped", self.parts)


def sizes_of(folder: Path) -> Sizes:
    """Weigh an artefact; its files are checked against their digests, and its arrays decoded once."""
    artifact = read_artifact(folder)
    packed = Packed.read(artifact.tensors, artifact.stored)
    measured = {name: _array_size(packed, name) for name in packed.names()}
    groups: dict[str, list[PartSize]] = {}
    for name, size in measured.items():
        groups.setdefault(part_of(name), []).append(size)
    arrays = tuple(_together(name, sizes) for name, sizes in groups.items())
    names = (folder / TENSORS).stat().st_size - packed.nbytes()
    others = [("names and shapes", "json", names)]
    others += [(name, form, (folder / file).stat().st_size) for name, file, form in _FILES if (folder / file).exists()]
    return Sizes(
        tuple(sorted(arrays, key=lambda part: -part.plain_bytes)),
        tuple(PartSize(name, form, 0, size, size) for name, form, size in others),
        _together("item table", [size for name, size in measured.items() if is_item_table(name)]),
    )


def artefacts_in(path: Path) -> dict[str, Path]:
    """The artefacts to weigh: the folder itself, or those of a run by name; of several seeds the first.

    Raises:
        ArtifactError: there is none.
    """
    if (path / CONFIG).is_file():
        return {path.name if path.name != "artefact" else path.parent.name: path}
    found: dict[str, Path] = {}
    for config in sorted(path.rglob(CONFIG)):
        place = config.parent.parent if config.parent.name == "artefact" else config.parent
        name = place.relative_to(path).as_posix()
        seedless = "/".join(part for part in name.split("/") if not part.startswith("seed-"))
        hidden = any(part.startswith(".") for part in config.parts) or is_leftover(config)
        if (config.parent / TENSORS).is_file() and not hidden:
            found.setdefault(path.name if seedless == "." else seedless, config.parent)
    if not found:
        raise ArtifactError(f"{path} is neither a saved model nor a run's folder with one in it")
    return dict(sorted(found.items(), key=lambda entry: _place(entry[0])))


def _place(name: str) -> tuple[int, str]:
    """Teachers first, then baselines, students, and what was made of them."""
    order = ("teacher", "baselines", "student")
    return next((n for n, start in enumerate(order) if name.startswith(start)), len(order)), name


def _array_size(packed: Packed, name: str) -> PartSize:
    decoded = packed.array(name)
    form = packed.forms.get(name)
    stored = packed.arrays[name].nbytes if form is None else sum(part.nbytes for part in packed.parts(name).values())
    told = decoded.dtype.name if form is None else form.form
    return PartSize(name, told, decoded.size, stored, _plain_bytes(decoded))


def _plain_bytes(array: Array) -> int:
    return array.size * _FLOAT_BYTES if array.dtype.kind == "f" else array.nbytes


def _together(name: str, parts: Iterable[PartSize]) -> PartSize:
    held = list(parts)
    by_form: dict[str, int] = {}
    for part in held:
        for form in part.form.split(", "):
            by_form[form] = by_form.get(form, 0) + part.stored_bytes
    forms = ", ".join(sorted(by_form, key=lambda form: -by_form[form]))
    sums = (sum(p.numbers for p in held), sum(p.stored_bytes for p in held), sum(p.plain_bytes for p in held))
    return PartSize(name, forms, *sums)

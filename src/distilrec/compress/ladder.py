"""What a search tries: combinations of methods, each without training and with it, from cheap to costly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from distilrec.compress.methods import Compression, trains
from distilrec.compress.prune_items import PruneItems
from distilrec.compress.prune_layers import PruneLayers
from distilrec.compress.prune_units import PruneUnits
from distilrec.compress.prune_width import PruneWidth
from distilrec.compress.quantise import PRESETS, GroupForms, Quantise
from distilrec.compress.quantise_aware import QuantiseAware
from distilrec.compress.share import ShareLayers
from distilrec.config import Settings, load_yaml, parse
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender
from distilrec.storage import Codebooks, Int4, Int8, LowRank

FIRST = "uncompressed"
_TRAINED = "trained again"
_GROUP = 16
_MILD_STEP = 0.15  # larger ones undo what a finished student knows faster than it learns to live with rounding
_NAME = re.compile(r"[\w ,.+-]{1,80}")


@dataclass(frozen=True)
class Candidate:
    """A combination of methods to try."""

    name: str
    methods: tuple[Settings, ...]
    trained: bool = False
    """Whether its methods train, which takes minutes where others take seconds."""
    step: float = 1.0
    """Step size of that training, as a share of the one that the student had."""

    @property
    def folder(self) -> str:
        """Its name as a folder's."""
        return re.sub(r"\W+", "-", self.name).strip("-")


@dataclass(frozen=True)
class Rung:
    """A shape and the forms of its arrays; training once more changes quality alone, not bytes or time."""

    name: str
    forms: GroupForms
    shapes: tuple[Settings, ...] = ()
    """Methods that make the model another one first; told not to train."""

    def untrained(self) -> Candidate:
        """Rounded as it is."""
        return Candidate(self.name, (*self.shapes, Quantise(**_forms(self.forms))))

    def trained(self) -> Candidate:
        """Trained once more in the forms that are stored."""
        methods = (*self.shapes, QuantiseAware(**_forms(self.forms)))
        mild = not self.shapes and not isinstance(self.forms.table, Codebooks | LowRank)
        return Candidate(f"{self.name}, {_TRAINED}", methods, trained=True, step=_MILD_STEP if mild else 1.0)


def _forms(forms: GroupForms) -> dict[str, object]:
    return {name: getattr(forms, name) for name in GroupForms.model_fields}


def ladder(recommender: Recommender) -> list[Rung]:
    """What is tried of a model. What does not apply to its kind is refused when it is tried, and told.

    Depth and width come from the model: half of its layers, half of its width, codes of 4, 8 and 16 columns.
    """
    shape = recommender.model.settings
    width = int(getattr(shape, "width", 0))
    depth = max(int(getattr(shape, name, 0)) for name in ("blocks", "layers"))
    int4 = GroupForms(table=Int4())
    rungs = [
        Rung("half precision", PRESETS["half"]),
        Rung("int8", PRESETS["int8"]),
        Rung("int4 table", int4),
        Rung("half of the units, int4 table", int4, (PruneUnits(share=0.5, retrain=False),)),
        Rung("rare half of the items shared, int4 table", int4, (PruneItems(share=0.5, retrain=False),)),
    ]
    return [*rungs, *_shallower(depth), *_grouped(width), *_narrower(width), *_codebooks(width)]


def matching(rungs: Sequence[Rung], pattern: str) -> list[Rung]:
    """Those whose name has a regular expression in it.

    Raises:
        SettingsError: it is none, or no name has it.
    """
    try:
        found = [rung for rung in rungs if re.search(pattern, rung.name)]
    except re.error as error:
        raise SettingsError(f"--only {pattern!r} is no regular expression: {error}") from None
    if not found:
        raise SettingsError(f"--only {pattern!r} matches nothing of what is tried: {'; '.join(r.name for r in rungs)}")
    return found


def _shallower(depth: int) -> list[Rung]:
    """What is tried of models of several layers."""
    if depth < 2:
        return []
    int4, layers = GroupForms(table=Int4()), PruneLayers(keep=depth // 2, retrain=False)
    return [
        Rung("half of the layers, int4 table", int4, (layers,)),
        Rung("half of the layers and units, int8", PRESETS["int8"], (layers, PruneUnits(share=0.5, retrain=False))),
        Rung("one layer for all, int4 table", int4, (ShareLayers(retrain=False),)),
    ]


def _grouped(width: int) -> list[Rung]:
    """An eighth more bytes than a scale for each row, and far less lost."""
    if not width or width % _GROUP:
        return []
    return [Rung(f"int4 table by {_GROUP} columns", GroupForms(table=Int4(group=_GROUP)))]


def _narrower(width: int) -> list[Rung]:
    half = width // 2
    if half < 2:
        return []
    factors = GroupForms(table=LowRank(rank=half, left=Int4(), right=Int8()))
    narrow = (PruneWidth(width=half, retrain=False),)
    return [
        Rung(f"rank {half}, int4", factors),
        Rung(f"width {half}, int8", GroupForms(table=Int8()), narrow),
        Rung(f"width {half}, int4 table", GroupForms(table=Int4()), narrow),
    ]


def _codebooks(width: int) -> list[Rung]:
    counts = [width // columns for columns in (4, 8, 16) if width and width % columns == 0]
    return [Rung(f"codebooks of {codes}", GroupForms(table=Codebooks(codes=codes, books=Int8()))) for codes in counts]


def read_candidates(path: Path, known: Sequence[Rung]) -> list[Candidate]:
    """Candidates of one's own from a YAML file: each a name and a list of methods with their settings.

    ```yaml
    half of the weights: [{kind: prune_weights, share: 0.5}, {kind: quantise}]
    ```

    Raises:
        SettingsError: a name is taken or cannot be a folder's, or a method or setting is unknown.
    """
    taken = {FIRST, *(name for rung in known for name in (rung.name, rung.trained().name))}
    found = []
    for name, methods in load_yaml(path).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in taken:
            raise SettingsError(
                f"{path}: {name!r} is {'taken' if name in taken else 'no name for a candidate'}; choose another, of "
                "letters, digits, spaces and commas"
            )
        found.append(_candidate(name, methods, path))
    return found


def _candidate(name: str, methods: object, path: Path) -> Candidate:
    values: Mapping[str, object] = {"methods": methods}
    checked = parse(_Listed, values, where=f"{path}: {name}").methods
    return Candidate(name, checked, trained=any(map(trains, checked)))


class _Listed(Settings):
    """Methods in turn."""

    methods: tuple[Compression, ...] = Field(min_length=1)
    """At least one."""

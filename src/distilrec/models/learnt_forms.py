"""Arrays that are learnt in the form in which they are stored: what training sees is what the stored parts decode to.

Each kind of form is a parametrization (`torch.nn.utils.parametrize`): its parts are what is learnt, and the layer that
owns the array sees what they make, so that any loop and any loss can train it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from distilrec.errors import SettingsError
from distilrec.models.rounding import Rounding, as_array
from distilrec.storage import Codebooks, Form, Hashed, LowRank, QuotientRemainder, SharedRows, Sparse, clusters
from distilrec.storage.form import Array
from distilrec.types import FloatArray

_LATENT = "latent"


class Learnt(nn.Module):
    """An array in a form without parts in other forms: its numbers are learnt, and rounded."""

    fixed: ClassVar[tuple[str, ...]] = ()
    """Parts that are not learnt."""

    def __init__(self, form: Form, plain: Mapping[str, Array]) -> None:
        """`plain` are the parts, none of them in a form; of a form that has no slots, the array itself as `values`."""
        super().__init__()
        self.form = form
        self.names = [name for name in plain if name not in self.fixed]
        self.roundings = nn.ModuleList(Rounding(self._inner(name), plain[name]) for name in self.names)
        self.starts = {name: torch.from_numpy(np.array(plain[name], np.float32)) for name in self.names}
        for name in self.fixed:
            if name in plain:
                self.register_buffer(name, torch.from_numpy(np.array(plain[name])), persistent=name == "codes")

    def _inner(self, name: str) -> Form | None:
        inner: Form | None = getattr(self.form, name) if name in self.form.slots else None
        return inner if self.form.slots else self.form

    def right_inverse(self, array: Tensor) -> tuple[Tensor, ...]:
        """What is learnt first; the array itself is not looked at."""
        return tuple(self.starts.values())

    def forward(self, *latents: Tensor) -> Tensor:
        """The array that the parts make."""
        with torch.autocast(latents[0].device.type, enabled=False):
            parts = zip(self.names, self.roundings, latents, strict=True)
            return self.join({name: rounding(latent.float()) for name, rounding, latent in parts})

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The array of rounded parts."""
        return parts["values"]

    @torch.no_grad()
    def refresh(self, *latents: Tensor) -> None:
        """Scales, and codes where they are not fixed, anew for the numbers as they are now."""
        for rounding, latent in zip(self.roundings, latents, strict=True):
            cast(Rounding, rounding).choose(latent)

    @torch.no_grad()
    def stored(self, *latents: Tensor) -> dict[str, Array]:
        """The parts as they are stored."""
        parts = {name: np.array(getattr(self, name).cpu().numpy()) for name in self.fixed if hasattr(self, name)}
        for name, rounding, latent in zip(self.names, self.roundings, latents, strict=True):
            if self.form.slots and self._inner(name) is None:
                parts[name] = as_array(latent)
                continue
            below = f"{name}/" if self.form.slots else ""
            parts |= {f"{below}{part}": array for part, array in cast(Rounding, rounding).stored(latent).items()}
        return parts


class LearntLowRank(Learnt):
    """Two thin factors."""

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[N, rank] and [rank, D] -> [N, D]"""
        return parts["left"] @ parts["right"]


class LearntSparse(Learnt):
    """What was not pruned; what was stays 0."""

    fixed = ("mask", "shape")

    def __init__(self, form: Sparse, plain: Mapping[str, Array]) -> None:
        super().__init__(form, plain)
        self.size = [int(side) for side in plain["shape"]]
        kept = np.flatnonzero(np.unpackbits(plain["mask"], count=int(np.prod(self.size))))
        self.register_buffer("at", torch.from_numpy(kept), persistent=False)

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The numbers kept in their places."""
        at: Tensor = self.at  # type: ignore[assignment]
        dense = parts["values"].new_zeros(int(np.prod(self.size)))
        return dense.index_copy(0, at, parts["values"].flatten()[: len(at)]).view(self.size)


class LearntHashed(Learnt):
    """Each row a sum of rows of a small table."""

    def __init__(self, form: Hashed, plain: Mapping[str, Array]) -> None:
        super().__init__(form, plain)
        self.register_buffer("rows", torch.from_numpy(form.rows()), persistent=False)  # [N, hashes]

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[buckets, D] -> [N, D]"""
        return F.embedding(self.rows, parts["table"]).sum(dim=1)  # type: ignore[arg-type]


class LearntQuotientRemainder(Learnt):
    """Each row a quotient's and a remainder's row together."""

    def __init__(self, form: QuotientRemainder, plain: Mapping[str, Array]) -> None:
        super().__init__(form, plain)
        self.register_buffer("rows", torch.arange(form.n_rows), persistent=False)

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Two small tables -> [N, D]"""
        assert isinstance(self.form, QuotientRemainder)
        rows: Tensor = self.rows  # type: ignore[assignment]
        first = F.embedding(rows // self.form.buckets, parts["quotients"])
        second = F.embedding(rows % self.form.buckets, parts["remainders"])
        return first + second if self.form.combine == "sum" else first * second


class LearntSharedRows(Learnt):
    """Rows that several items share."""

    fixed = ("index",)

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[different rows, D] -> [N, D]"""
        return F.embedding(self.index.long(), parts["rows"])  # type: ignore[operator]


class LearntCodebooks(Learnt):
    """RecJPQ's sub-item ids (Petrov and Macdonald, WSDM 2024): entries of books are learnt, codes name them.

    Where the whole table is learnt along (`latent`), it gets the gradient of the rows that the codes make, straight
    through, and each `refresh` gives every row the codes that are nearest to it by then.
    """

    fixed = ("codes", "rotation")
    codes: Tensor

    def __init__(self, form: Codebooks, plain: Mapping[str, Array]) -> None:
        super().__init__(form, plain)
        self.codes = self.codes.long()  # [N, M]; as row numbers, once

    def join(self, parts: Mapping[str, Tensor]) -> Tensor:
        """[M, entries, D / M] -> [N, D]"""
        rows = torch.cat([F.embedding(self.codes[:, m], book) for m, book in enumerate(parts["books"])], dim=1)
        if hasattr(self, "rotation"):
            rows = rows @ self.rotation.T  # type: ignore[operator]
        rows = rows * parts["lengths"][:, None] if "lengths" in parts else rows
        return rows + (parts[_LATENT] - parts[_LATENT].detach()) if _LATENT in parts else rows

    @torch.no_grad()
    def refresh(self, *latents: Tensor) -> None:
        """The nearest codes, where the whole table is learnt."""
        super().refresh(*latents)
        named = dict(zip(self.names, latents, strict=True))
        if _LATENT not in named:
            return
        rows: FloatArray = as_array(named[_LATENT])
        if "lengths" in named:
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        if hasattr(self, "rotation"):
            turn: FloatArray = as_array(cast(Tensor, self.rotation))
            rows = rows @ turn
        books = as_array(self.roundings[self.names.index("books")](named["books"]))
        self.codes.copy_(torch.from_numpy(clusters.assign(rows, books)))

    @torch.no_grad()
    def stored(self, *latents: Tensor) -> dict[str, Array]:
        """Codes packed; the rotation in its own form."""
        assert isinstance(self.form, Codebooks)
        parts = super().stored(*latents)
        parts.pop(_LATENT, None)
        parts["codes"] = self.form.pack_codes(parts["codes"])
        if "rotation" in parts:
            turn = self.form.rotation.encode(parts.pop("rotation"))
            parts |= {f"rotation/{name}": array for name, array in turn.items()}
        return parts


_KINDS: Mapping[type[Form], type[Learnt]] = {
    LowRank: LearntLowRank,
    Sparse: LearntSparse,
    Hashed: LearntHashed,
    QuotientRemainder: LearntQuotientRemainder,
    SharedRows: LearntSharedRows,
    Codebooks: LearntCodebooks,
}


def learn_in_form(
    layer: nn.Module, name: str, form: Form, plain: Mapping[str, Array], *, latent: Array | None = None
) -> None:
    """From now on a layer's array is what `form` makes of its parts, and those are what is learnt.

    Args:
        plain: the parts, as `Form.unpack` gives them; of a form without slots, `{"values": the array}`.
        latent: for codebooks whose codes are to be found anew while they are learnt: the whole table.
    """
    if isinstance(form, Codebooks):
        plain = {**plain, "codes": form.plain(form.pack(plain))["codes"]}
        plain |= {} if latent is None else {_LATENT: latent}
    if isinstance(form, LowRank) and any(isinstance(side, Codebooks) for side in (form.left, form.right)):
        raise SettingsError("a factor that is stored in codebooks is not learnt; take another form for it")
    learnt = _KINDS.get(type(form), Learnt)(form, plain)
    parametrize.register_parametrization(layer, name, learnt, unsafe=True)


def refresh(model: nn.Module) -> None:
    """Scales and codes of all arrays anew."""
    for held, learnt in _learnt_within(model):
        learnt.refresh(*_latents(held))


def stored_parts(layer: nn.Module, name: str) -> dict[str, Array]:
    """What a layer's array is to be stored as."""
    held = layer.parametrizations[name]  # type: ignore[index]
    learnt = held[0]
    assert isinstance(learnt, Learnt)
    return learnt.stored(*_latents(cast(nn.Module, held)))


def _learnt_within(model: nn.Module) -> list[tuple[parametrize.ParametrizationList, Learnt]]:
    lists = [module for module in model.modules() if isinstance(module, parametrize.ParametrizationList)]
    return [(held, held[0]) for held in lists if isinstance(held[0], Learnt)]


def _latents(held: nn.Module) -> list[Tensor]:
    n = sum(name.startswith("original") for name in dict(held.named_parameters(recurse=False)))
    return [getattr(held, f"original{i}") for i in range(n)]

"""Fewer numbers than there are rows and layers: thin factors, codebooks, hashed rows, one block for several."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
from pydantic import Field

from distilrec.compress.prune_layers import STACKS
from distilrec.compress.retraining import Retraining, retrained, wanted_training
from distilrec.compress.starts import hashed_start, quotient_remainder_start
from distilrec.compress.steps import packed_of, restored
from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.recommender import POPULARITY_COLUMN, Recommender
from distilrec.seeding import generator
from distilrec.storage import Alias, Codebooks, Form, Hashed, Int8, LowRank, Packed, QuotientRemainder
from distilrec.storage.form import Array
from distilrec.storage.leaves import LeafForm
from distilrec.types import IntArray

_DRAWS_PER_ITEM, _MOST_DRAWS = 3, 1 << 16
TABLES = ("table.weight", "inputs.weight")  # of models of product form, and what their histories are read as


class LowRankTable(Settings):
    """Item tables as the product of two thin factors."""

    kind: Literal["low_rank"] = "low_rank"
    """Its name."""
    rank: int = Field(16, ge=1)
    """Columns of the left factor."""
    retrain: bool = True
    """Whether the factors are trained; otherwise they are the nearest of their rank."""


class CodebookTable(Settings):
    """Item tables in codebooks: RecJPQ's sub-item ids (Petrov and Macdonald, WSDM 2024), from the finished table."""

    kind: Literal["codebooks"] = "codebooks"
    """Its name."""
    codes: int = Field(8, ge=1)
    """Codes an item; of a table whose width they do not divide, the next lower number that does."""
    bits: Literal[4, 8] = 8
    """Bits of a code: books of 16 or 256 entries."""
    books: LeafForm = Int8()
    """How the entries are stored."""
    rotate: bool = True
    """Whether the columns are turned first so that books fit better."""
    popularity: float = Field(1.0, ge=0)
    """Books are learnt from items drawn by how often they were chosen in training, to this power; 0 takes all alike."""
    reassign: bool = True
    """Whether codes are found anew after each epoch of training, for the table as it is by then; else they stay."""
    seed: int = Field(0, ge=0)
    """Of what is drawn."""
    retrain: bool = True
    """Whether the entries are trained."""


class HashedTable(Settings):
    """Item tables whose rows are sums of rows of a small table, which hash functions name."""

    kind: Literal["hashed"] = "hashed"
    """Its name."""
    buckets: int = Field(2048, ge=1)
    """Rows of the small table."""
    hashes: int = Field(2, ge=1)
    """How many of them make an item's."""


class QuotientRemainderTable(Settings):
    """Item tables whose rows are a quotient's and a remainder's row together."""

    kind: Literal["quotient_remainder"] = "quotient_remainder"
    """Its name."""
    buckets: int = Field(256, ge=1)
    """How many remainders there are."""
    combine: Literal["sum", "product"] = "product"
    """What is done with the two rows."""


class ShareLayers(Settings):
    """One block in place of several, as in ALBERT (Lan et al., ICLR 2020): run as often as before, stored once."""

    kind: Literal["share_layers"] = "share_layers"
    """Its name."""
    distinct: int = Field(1, ge=1)
    """How many blocks stay different; neighbours are shared in runs of equal length, and start as their first."""
    retrain: bool = True
    """Whether the model is trained once more."""


Shared = LowRankTable | CodebookTable | HashedTable | QuotientRemainderTable
Parts = dict[str, Array]


def share_table(recommender: Recommender, settings: Shared, training: Retraining | None) -> Recommender:
    """The same model with its item tables made of fewer numbers, trained once more as such.

    Tables start as near to what they were as their new form allows. Where histories are read by a table of their own
    (`linear`, `matrix_factorisation`), both are shared.

    Raises:
        SettingsError: the table is stored in a form already, it would not get smaller, or there is nothing to train
            with.
    """
    wanted = wanted_training(recommender, settings, training)
    packed = packed_of(recommender)
    for name in [name for name in TABLES if name in packed.names()]:
        if name in packed.forms:
            raise SettingsError(
                f"{settings.kind}: {name} is stored as {packed.forms[name].form} already; share it before that, or "
                "start from the model that was not compressed"
            )
        form, parts = _made(settings, packed.array(name), recommender)
        packed = packed.replacing(name, form, parts)
        held = sum(part.nbytes for part in parts.values())
        if held >= packed.array(name).nbytes:
            raise SettingsError(f"{settings.kind}: {name} would have {held:,} bytes, no fewer than now; choose less")
    small = restored(recommender, packed, done=settings)
    anew = isinstance(settings, CodebookTable) and settings.reassign
    return retrained(small, wanted, before=packed_of(recommender), reassign=anew)


def _made(settings: Shared, table: Array, recommender: Recommender) -> tuple[Form, Parts]:
    """The form of one table and what it starts as."""
    if isinstance(settings, LowRankTable):
        form: Form = LowRank(rank=settings.rank)
        return form, form.encode(table)
    if isinstance(settings, CodebookTable):
        return _in_codebooks(settings, table, recommender.items[POPULARITY_COLUMN].to_numpy())
    if isinstance(settings, HashedTable):
        hashed = Hashed(n_rows=len(table), buckets=settings.buckets, hashes=settings.hashes)
        return hashed, hashed.pack({"table": hashed_start(table, hashed)})
    both = QuotientRemainder(n_rows=len(table), buckets=min(settings.buckets, len(table)), combine=settings.combine)
    return both, both.pack(quotient_remainder_start(table, both))


def _in_codebooks(settings: CodebookTable, table: Array, counts: IntArray) -> tuple[Form, Parts]:
    form = Codebooks(
        codes=max(n for n in range(1, settings.codes + 1) if table.shape[1] % n == 0),
        bits=settings.bits,
        rotate=settings.rotate,
        rounds=10,
        seed=settings.seed,
        books=settings.books,
        rotation=settings.books,
    )
    shares = (counts + 1.0) ** settings.popularity
    draws = min(_DRAWS_PER_ITEM * len(table), _MOST_DRAWS)
    drawn = generator(settings.seed, "codebooks").choice(len(table), draws, p=shares / shares.sum())
    return form, form.encode_from(table, drawn)


def share_layers(recommender: Recommender, settings: ShareLayers, training: Retraining | None) -> Recommender:
    """A model of the same depth with fewer different blocks.

    Raises:
        SettingsError: its kind has no blocks that could be one another's, it has no more than are to stay different,
            their arrays are stored in forms already, or there is nothing to train with.
    """
    wanted = wanted_training(recommender, settings, training)
    packed = packed_of(recommender)
    for name, first in _pairs(recommender, settings, packed).items():
        held = {packed.forms[array].form for array in (name, first) if array in packed.forms}
        if held:
            raise SettingsError(
                f"share_layers: {name} is stored as {', '.join(sorted(held))} already; share layers before that, or "
                "start from the model that was not compressed"
            )
        if packed.array(name).shape != packed.array(first).shape:
            raise SettingsError(f"share_layers: {name} and {first} have other shapes, so they cannot be one")
        packed = packed.replacing(name, Alias(of=first), {})
    return retrained(restored(recommender, packed, done=settings), wanted)


def _pairs(recommender: Recommender, settings: ShareLayers, packed: Packed) -> dict[str, str]:
    """Each array that is to be another's, and that other."""
    kind = recommender.model.kind
    if kind not in STACKS or kind == "cnn":
        why = "blocks that see at different distances" if kind == "cnn" else "no stack of blocks"
        raise SettingsError(
            f"share_layers: a model of kind {kind} has {why}; it is for transformer, linear_recurrence, gru"
        )
    stack, setting = STACKS[kind]
    count = int(getattr(recommender.model.settings, setting))
    if settings.distinct >= count:
        raise SettingsError(f"share_layers: distinct is {settings.distinct}, and there are {count} blocks; take fewer")
    runs = np.array_split(np.arange(count), settings.distinct)
    first = {int(at): int(run[0]) for run in runs for at in run[1:]}
    found = {name: re.fullmatch(rf"{stack}\.(\d+)\.(.+)", name) for name in packed.names()}
    return {
        name: f"{stack}.{first[int(match[1])]}.{match[2]}"
        for name, match in found.items()
        if match is not None and int(match[1]) in first
    }

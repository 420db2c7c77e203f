"""Where the numbers of a run come from: the log, the settings, the stages, the machine, the digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import yaml

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.files import PARTIAL, is_leftover, read_json
from distilrec.report.facts import Stage


def data_facts(log: tuple[Interactions, Split], recipe: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the log holds and how it was split, as names and values."""
    interactions, split = log
    users, items, events = interactions.n_users, interactions.n_items, interactions.events.height
    lengths = split.test.histories.lengths
    source = Path(str(recipe.get("data", {}).get("path", ""))).name
    kind = str(recipe.get("data", {}).get("split", {}).get("kind", "unknown")).replace("_", " ")
    return [
        *([("Log", source)] if source else []),
        ("Users", f"{users:,}"),
        ("Items", f"{items:,}"),
        ("Events", f"{events:,}"),
        ("Density", f"{100 * events / (users * items):.2f} %"),
        *_period(interactions),
        ("Split", kind),
        ("Learnt from", f"{len(split.train.values):,} events of {len(split.train):,} users"),
        ("Tested on", f"{len(split.test):,} users"),
        ("History of a test user", f"median {np.median(lengths):,.0f} events, {lengths.min():,} to {lengths.max():,}"),
    ]


def _period(interactions: Interactions) -> Iterator[tuple[str, str]]:
    times = interactions.events["timestamp"].drop_nulls()
    if len(times):
        ends = (times.to_numpy().min(), times.to_numpy().max())
        first, last = (datetime.fromtimestamp(float(end), UTC).date() for end in ends)
        yield "Period", f"{first} to {last}"


def public_recipe(recipe: Mapping[str, Any]) -> str:
    """The settings as YAML; of a folder of the machine only the last name is told."""
    return str(yaml.safe_dump(_public(dict(recipe)), sort_keys=False, allow_unicode=True)) if recipe else ""


def _public(value: Any) -> Any:  # noqa: ANN401  (whatever the YAML holds)
    if isinstance(value, dict):
        return {key: _public(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_public(inner) for inner in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()):
        return Path(value).name
    return value


def stages_of(run: Path) -> list[Stage]:
    """Every stage in the order of its work, finished or not; without old results that a kill left."""
    paths = sorted(run.glob("**/stage.json"), key=lambda path: path.stat().st_mtime)
    found = []
    for path in paths:
        held = read_json(path)
        place = str(path.parent.relative_to(run))
        name = place.removesuffix(PARTIAL)
        if not is_leftover(Path(name)):
            seconds = float(held["seconds"]) if name == place and "seconds" in held else None
            found.append(Stage(name, str(held.get("key", "")), seconds))
    return found


def machine_of(run: Path) -> dict[str, str]:
    """The machine that the latencies were measured on."""
    return {name: str(value) for name, value in read_json(run / "latency/machine.json").items()}


def digests_of(run: Path, protocol: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What tells this data, these questions and these models from others."""
    found = [("data", str(read_json(run / "run.json").get("data_digest", "")))]
    data = run / "data/data.json"
    if data.is_file():
        found.append(("catalogue", str(read_json(data).get("catalogue_digest", ""))))
    if protocol and protocol.get("cases"):
        found.append(("test cases", str(protocol["cases"])))
    encoder, artefact = run / "vectors/encoder.json", run / "artefact/config.json"
    if encoder.is_file():
        found.append(("encoder", str(read_json(encoder).get("digest", ""))))
    if artefact.is_file():
        parts = read_json(artefact).get("sha256", {})
        found += [(f"artefact/{name}", str(digest)) for name, digest in parts.items()]
    return [(name, digest) for name, digest in found if digest]

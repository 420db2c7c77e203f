"""Seconds to encode a catalogue's texts: this package's encoder beside sentence-transformers.

Both read the same texts with the same weights (all-MiniLM-L6-v2) in one process:

- ours: `TextEncoder.encode` with its defaults: batches of equal length, bfloat16 where the processor has it.
- usual: `SentenceTransformer(...).encode` with its defaults, in float32.

Rounds alternate, so that a slow moment of the machine meets both. Loading the model is not timed, tokenizing is, and no
cache is used. Prints each round, the medians, their ratio, and how near the vectors are to one another.

Needs sentence-transformers: pip install 'distilrec[bench]'
Run: python benchmarks/encode_speed.py --data PATH-TO-AMAZON-BEAUTY
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from distilrec.data.read import read
from distilrec.encode.folder import locate
from distilrec.encode.processor import fast_bf16_flags
from distilrec.encode.templates import default_template, fill
from distilrec.encode.text import TextEncoder
from distilrec.types import FloatArray

Encode = Callable[[list[str]], FloatArray]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    texts = _texts(arguments.data, arguments.texts)
    folder = locate(arguments.model)
    ours = TextEncoder.load(folder, device="cpu")
    sides = {"usual": _usual(folder), "ours": lambda texts: ours.encode(texts, quiet=True)}
    seconds, vectors = alternate(sides, texts, arguments.rounds)
    usual, own = statistics.median(seconds["usual"]), statistics.median(seconds["ours"])
    print(f"median seconds: ours {own:.2f}, usual {usual:.2f}, ratio {usual / own:.2f}")
    cosines = (_unit(vectors["ours"]) * _unit(vectors["usual"])).sum(axis=1)
    print(f"cosine of both vectors of a text: mean {cosines.mean():.6f}, least {cosines.min():.6f}")
    print(json.dumps(seconds))


def alternate(
    sides: dict[str, Encode], texts: list[str], rounds: int
) -> tuple[dict[str, list[float]], dict[str, FloatArray]]:
    """Encode all texts with one side, then the other; return seconds of each round, and the last round's vectors."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    vectors: dict[str, FloatArray] = {}
    for number in range(1, rounds + 1):
        for name, encode in sides.items():
            began = time.perf_counter()
            vectors[name] = encode(texts)
            seconds[name].append(time.perf_counter() - began)
            print(f"round {number}  {name:5}  {seconds[name][-1]:6.2f} s", flush=True)
    return seconds, vectors


def _texts(data: Path, most: int | None) -> list[str]:
    """Every item's text by the default template; prints what was read and on what machine."""
    items = read(data)[0].items
    template = default_template(items)
    texts = fill(items, template)[:most]
    print(f"{len(texts):,} texts, {sum(map(len, texts)) / len(texts):.0f} characters on average, template {template!r}")
    print(
        f"{_processor()} ({', '.join(fast_bf16_flags()) or 'no bfloat16'}), {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    return texts


def _usual(folder: Path) -> Encode:
    if find_spec("sentence_transformers") is None:
        sys.exit("sentence-transformers is not installed. Run: pip install 'distilrec[bench]'")
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    dtypes = {str(parameter.dtype) for parameter in model.parameters()}
    print(f"usual: sentence-transformers {sentence_transformers.__version__}, {', '.join(dtypes)}")
    return lambda texts: model.encode(texts)


def _unit(vectors: FloatArray) -> FloatArray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/amazon-beauty"))
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--texts", type=int, help="only so many of the texts, for a quick look")
    return parser.parse_args()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()

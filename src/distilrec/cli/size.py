"""The command that weighs models: what is shipped, part by part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distilrec.cli.app import app

if TYPE_CHECKING:
    from distilrec.storage.sizes import PartSize, Sizes


@app.command()
def size(
    paths: Annotated[list[Path], typer.Argument(help="Artefacts, or runs' folders: every model in them.")],
    parts: Annotated[bool, typer.Option(help="With several models, the parts of each as well.")] = False,
) -> None:
    """Print the numbers and bytes that a model ships, part by part; several models side by side."""
    from distilrec.cli.show import print_table
    from distilrec.storage.sizes import artefacts_in, sizes_of

    folders: dict[str, Path] = {}
    for path in paths:
        for name, folder in artefacts_in(path).items():
            folders[name if name not in folders else str(folder)] = folder
    weighed = {name: sizes_of(folder) for name, folder in folders.items()}
    for name, found in weighed.items():
        if parts or len(weighed) == 1:
            typer.echo(name)
            print_table(["part", "stored as", "numbers", "bytes", "as float32", "share"], _parts(found))
    if len(weighed) > 1:
        head = ["model", "stored as", "numbers", "item table", "other arrays", "the rest", "together"]
        print_table([*head, "as float32", "share"], [_model(name, found) for name, found in weighed.items()])
    typer.echo(
        "Bytes; everything shipped is counted. As float32: the same model uncompressed. The rest: names and shapes of "
        "arrays, catalogue, card, config, and of an exported model its graphs, codes, certificate and digests."
    )


def _parts(found: Sizes) -> list[list[str]]:
    rows = [*found.arrays, found.weights, *found.others, found.total]
    return [[part.name, part.form if part is not found.total else "", *_numbers(part)] for part in rows]


def _model(name: str, found: Sizes) -> list[str]:
    table, weights, total = found.item_table.stored_bytes, found.weights, found.total
    cells = [table, weights.stored_bytes - table, total.stored_bytes - weights.stored_bytes, total.stored_bytes]
    plain = [f"{total.plain_bytes:,}", _share(total)]
    return [name, weights.form, f"{weights.numbers:,}", *(f"{cell:,}" for cell in cells), *plain]


def _numbers(part: PartSize) -> list[str]:
    numbers = f"{part.numbers:,}" if part.numbers else ""
    return [numbers, f"{part.stored_bytes:,}", f"{part.plain_bytes:,}", _share(part)]


def _share(part: PartSize) -> str:
    return f"{part.stored_bytes / part.plain_bytes:.3f}" if part.plain_bytes else ""

"""The command about students: which there are, and how large."""

from __future__ import annotations

from typing import Annotated

import typer

from distilrec.cli.app import app

_BYTES = 4  # of a float32 number


@app.command()
def students(items: Annotated[int, typer.Option(min=1, help="How many items the catalogue has.")] = 12_000) -> None:
    """Print every kind of student in every preset size, with how many numbers it ships."""
    from distilrec.cli.show import print_table
    from distilrec.models.students import SIZES, count_shipped, preset, student_kinds

    body = []
    for kind in student_kinds():
        for size in SIZES:
            shipped = count_shipped(preset(kind, size), items)
            numbers = [f"{number:,}" for number in (shipped.tables, shipped.body, shipped.total)]
            body.append([kind, size, *numbers, f"{shipped.total * _BYTES / 1e6:.2f}"])
    print_table(["kind", "preset", "of the items", "of the body", "together", "MB"], body)
    typer.echo(
        f"Numbers that a student of {items:,} items ships, and its megabytes as float32. In a recipe: "
        "student: {model: {kind: cnn, preset: small}}; settings named beside a preset win over it."
    )

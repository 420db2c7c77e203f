"""Which part of a model an array belongs to, by the names that all kinds of models give their arrays."""

from __future__ import annotations

import re

_MEMBER = re.compile(r"(\d+)\.(.+)")  # an ensemble's arrays begin with the member's number
_TABLES = ("table.weight", "weights")  # of models of product form, and of EASE
_BLOCK = re.compile(r"(?:^|\.)(?:blocks?|layers?|h)\.(\d+)\.")


def is_item_table(name: str) -> bool:
    """Whether an array has a row for each item of the catalogue; a member of an ensemble has one of its own."""
    member = _MEMBER.fullmatch(name)
    return is_item_table(member[2]) if member else name in _TABLES


def part_of(name: str) -> str:
    """What people call the part: item table, positions, block 1, norms, or the array's first name."""
    if member := _MEMBER.fullmatch(name):
        return f"member {int(member[1]) + 1}, {part_of(member[2])}"
    if is_item_table(name):
        return "item table"
    if block := _BLOCK.search(name):
        return f"block {int(block[1]) + 1}"
    if "position" in name:
        return "positions"
    if "norm" in name.lower():
        return "norms"
    return name.removeprefix("body.").removeprefix("model.").partition(".")[0]

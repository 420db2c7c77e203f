"""Products of states with items that are drawn for each, by matrices."""

from __future__ import annotations

from typing import Any

import torch


class Logits(torch.autograd.Function):
    """Products of states [P, D] with the items [N, D] asked for, [P, C]: by matrices that stay in the cache."""

    PART = 128

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, items: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        """Every product of a few states, then those asked for."""
        ctx.save_for_backward(states, items, asked)
        parts = zip(states.split(Logits.PART), asked.split(Logits.PART), strict=True)
        return torch.cat([(state @ items.T).gather(1, chosen) for state, chosen in parts])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:  # noqa: ANN401
        """To the states, and to the items."""
        states, items, asked = ctx.saved_tensors
        to_states, to_items = torch.empty_like(states), torch.zeros_like(items)
        for start in range(0, len(states), Logits.PART):
            part = slice(start, start + Logits.PART)
            dense = states.new_zeros(len(states[part]), len(items)).scatter_add_(1, asked[part], gradient[part])
            torch.mm(dense, items, out=to_states[part])
            to_items.addmm_(dense.T, states[part])
        return to_states, to_items, None

"""RecTools' sampled loss with less work for the same."""

from __future__ import annotations

import torch
from by_matrices import Logits
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule


class DotByMatrices(DistanceSimilarityModule):
    """RecTools' logits of the drawn items in another order of work; they differ by rounding.

    RecTools gathers a vector for each position and drawn item, gigabytes a step, and multiplies them one at a time:
    most of its time on a processor. Positions of padding, which its loss leaves out, have logits of zero here.
    """

    def _get_pos_neg_logits(
        self, session_embs: torch.Tensor, item_embs: torch.Tensor, candidate_item_ids: torch.Tensor
    ) -> torch.Tensor:
        taken = candidate_item_ids[..., 0] != 0  # [B, L]; the first candidate is the target
        logits = session_embs.new_zeros(candidate_item_ids.shape)
        logits[taken] = Logits.apply(session_embs[taken], item_embs, candidate_item_ids[taken])
        return logits

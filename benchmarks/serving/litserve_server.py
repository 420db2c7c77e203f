"""The same model behind LitServe, in a virtual environment of its own.

    python benchmarks/serving/litserve_server.py ARTEFACT PORT

As LitServe's own documentation does it: a `LitAPI` with `setup`, `decode_request`, `predict` and `encode_response`, one
worker, no batching. It reads annotations when it starts, so they are no text here.
"""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import torch

from distilrec import Recommender
from distilrec.types import Batch


class Recommending(litserve.LitAPI):
    """A history in, the best items out."""

    def __init__(self, artefact: Path) -> None:
        super().__init__(api_path="/recommend")
        self.artefact = artefact

    def setup(self, device: str) -> None:
        """Load the model once."""
        torch.set_num_threads(1)
        self.recommender = Recommender.from_pretrained(self.artefact)
        self.ids = self.recommender.items["item_id"].to_list()
        self.rows = {item: row for row, item in enumerate(self.ids)}

    def decode_request(self, request: dict[str, Any]) -> tuple[np.ndarray, int]:
        """Ids to row numbers."""
        known = [self.rows[item] for item in request["history"] if item in self.rows]
        return np.array(known, dtype=np.int64), int(request.get("k", 10))

    def predict(self, question: tuple[np.ndarray, int]) -> Any:  # noqa: ANN401  (torch's named tuple)
        """Rank the whole catalogue."""
        history, k = question
        batch = Batch.of([history], max_length=self.recommender.max_length)
        scores = torch.from_numpy(self.recommender.model.scores(batch)[0])  # [N]
        scores[history] = -torch.inf
        return torch.topk(scores, k)

    def encode_response(self, best: Any) -> dict[str, Any]:  # noqa: ANN401
        """Row numbers to ids."""
        return {"items": [self.ids[row] for row in best.indices.tolist()], "scores": best.values.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Recommending(Path(sys.argv[1])), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")

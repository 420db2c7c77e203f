"""What most people write first: FastAPI around a torch model; a peer of `benchmarks/serve_speed.py`.

    python benchmarks/serving/plain_server.py ARTEFACT PORT

The model is loaded once, a request is checked by pydantic, and `torch.topk` ranks the whole catalogue.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from distilrec import Recommender
from distilrec.types import Batch


class Question(BaseModel):
    """A history and how many items are wanted."""

    history: list[int | str]
    k: int = 10


def make_app(artefact: Path) -> FastAPI:
    """The application."""
    torch.set_num_threads(1)
    recommender = Recommender.from_pretrained(artefact)
    model, ids = recommender.model, recommender.items["item_id"].to_list()
    rows = {item: row for row, item in enumerate(ids)}
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(question: Question) -> dict[str, list[int | str] | list[float]]:
        history = np.array([rows[item] for item in question.history if item in rows], dtype=np.int64)
        scores = torch.from_numpy(model.scores(Batch.of([history], max_length=recommender.max_length))[0])  # [N]
        scores[history] = -torch.inf
        best = torch.topk(scores, question.k)
        return {"items": [ids[row] for row in best.indices.tolist()], "scores": best.values.tolist()}

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")

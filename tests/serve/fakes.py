"""A model whose answers are known by heart, and servers around it."""

import json
from pathlib import Path

import polars as pl
from starlette.testclient import TestClient

from distilrec.errors import ArtifactError, SettingsError
from distilrec.serve.app import make_application
from distilrec.serve.metrics import Metrics
from distilrec.serve.model import InUse
from distilrec.serve.runtime import Recommendations
from distilrec.serve.settings import ServeSettings


class FakeModel:
    """Recommends the items after the newest of a history, in the order of the catalogue, round and round."""

    max_length = 50

    def __init__(self, ids=("a", "b", "c", "d"), digest="first", broken=False):
        self.items = pl.DataFrame({"item_id": list(ids), "title": [f"Title of {item}" for item in ids]})
        self.digest, self.ids, self.broken = digest, list(ids), broken
        self.n_items = len(ids)
        self.places = {str(item): place for place, item in enumerate(ids)}  # ids are found in either form
        self.batches = []

    @classmethod
    def load(cls, folder, threads=1):
        """Read what `write` wrote."""
        about = json.loads((Path(folder) / "export.json").read_text(encoding="utf-8"))
        if len(about["ids"]) != about["count"]:
            raise ArtifactError(f"{folder} was cut short")
        return cls(about["ids"], about["digest"], about["broken"])

    def write(self, folder):
        """Save it where a server looks for a model."""
        about = {"ids": self.ids, "count": self.n_items, "digest": self.digest, "broken": self.broken}
        Path(folder).mkdir(exist_ok=True)
        (Path(folder) / "export.json").write_text(json.dumps(about), encoding="utf-8")

    def recommend(self, histories, *, k=10, exclude_history=True, allow=None, block=None, where=None):
        self.batches.append(len(histories))
        if any("fault" in map(str, history) for history in histories):
            raise SettingsError("the history names a fault")
        counts = [k] * len(histories) if isinstance(k, int) else k
        return [self._after(history, count, allow) for history, count in zip(histories, counts, strict=True)]

    def _after(self, history, k, allow):
        known = [item for item in history if str(item) in self.places]
        start = self.places[str(known[-1])] + 1 if known else 0
        items = (self.ids[start:] + self.ids[:start])[:k]
        scores = [float("nan") if self.broken else float(k - place) for place in range(len(items))]
        if allow is not None:
            items = [item for item in items if item in allow]
        unknown = tuple(item for item in history if str(item) not in self.places)
        return Recommendations(items, scores[: len(items)], None if known else "the history is empty", unknown)

    def similar(self, item_ids, *, k=10):
        if any(str(item) not in self.places for item in item_ids):
            raise SettingsError("an item is not in the catalogue")
        return [self._after([item], k, None) for item in item_ids]


def settings_for(folder, **changes):
    """Settings with a store of their own."""
    return ServeSettings(store=f"sqlite:///{folder}/events.db", **changes)


def client_of(folder, model=None, **changes):
    """A client of a server within this process; to be used in `with`."""
    application = make_application(InUse(model or FakeModel()), settings_for(folder, **changes), Metrics())
    return TestClient(application)

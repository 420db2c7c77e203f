"""DistilRec turns large pretrained models into small, fast recommenders.

What most programs need can be imported from here. Each name is loaded when it is first asked for, so that importing
the package loads none of the heavy libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distilrec.data.check import check
    from distilrec.data.interactions import Interactions
    from distilrec.data.read import read
    from distilrec.data.split import SplitSettings, split
    from distilrec.errors import DistilRecError
    from distilrec.evaluate.compare import compare
    from distilrec.evaluate.evaluation import Evaluation
    from distilrec.knowledge import Knowledge
    from distilrec.recommender import Recommender
    from distilrec.run.recipe import Recipe, load_recipe

__version__ = "0.1.0"
__all__ = [
    "DistilRecError",
    "Evaluation",
    "Interactions",
    "Knowledge",
    "Recipe",
    "Recommender",
    "SplitSettings",
    "check",
    "compare",
    "load_recipe",
    "read",
    "split",
]

_HOMES = {
    "DistilRecError": "distilrec.errors",
    "Evaluation": "distilrec.evaluate.evaluation",
    "Interactions": "distilrec.data.interactions",
    "Knowledge": "distilrec.knowledge",
    "Recipe": "distilrec.run.recipe",
    "Recommender": "distilrec.recommender",
    "SplitSettings": "distilrec.data.split",
    "check": "distilrec.data.check",
    "compare": "distilrec.evaluate.compare",
    "load_recipe": "distilrec.run.recipe",
    "read": "distilrec.data.read",
    "split": "distilrec.data.split",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever lives there)
    if name not in _HOMES:
        raise AttributeError(f"module 'distilrec' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)

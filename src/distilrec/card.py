"""The model card: README.md of an artefact, in the form that the Hugging Face hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_HEADER = """---
library_name: distilrec
pipeline_tag: other
tags:
- recommender-system
- knowledge-distillation
- {kind}
---

# {title}

A recommender made with DistilRec: {kind}, {n_parameters:,} parameters, {n_items:,} items.

```python
from distilrec import Recommender

recommender = Recommender.from_pretrained("path/to/this/folder")
print(recommender.recommend(history=[{example}], k=10))
```
"""


def with_section(card: str, heading: str, text: str) -> str:
    """The card with another text below a heading; as it was where it lacks the heading."""
    section = re.compile(rf"(?ms)^## {re.escape(heading)}\n.*?(?=\n## |\Z)")
    return section.sub(lambda _: f"## {heading}\n\n{text.strip()}\n", card)


def write_card(
    config: Mapping[str, Any],
    *,
    title: str = "A DistilRec recommender",
    example: str = "",
    sections: Mapping[str, str] | None = None,
) -> str:
    """A card that says what the model is and how to load it, then `sections`: heading to Markdown text."""
    head = _HEADER.format(
        kind=config["model"]["kind"],
        title=title,
        n_parameters=config["n_parameters"],
        n_items=config["n_items"],
        example=example,
    )
    return head + "".join(f"\n## {heading}\n\n{text.strip()}\n" for heading, text in (sections or {}).items())

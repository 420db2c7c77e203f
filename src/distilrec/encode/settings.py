"""How items are turned into vectors by a pretrained encoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distilrec.config import Settings

Dtype = Literal["auto", "float32", "bfloat16"]


class EncodeSettings(Settings):
    """Settings of the encode stage."""

    model: str = "all-MiniLM-L6-v2"
    """A folder, or a name on the Hugging Face hub: a sentence-transformers or transformers encoder."""

    template: str | None = None
    """What the encoder reads of an item, such as "{title}. {genres}"; left out, columns that look like text."""

    max_tokens: int | None = Field(default=None, ge=4)
    """Longer texts are cut; left out, what the model says."""

    dtype: Dtype = "auto"
    """Number type of the encoder's arithmetic; auto is bfloat16 where the processor has it."""

    token_budget: int = Field(default=4096, ge=1)
    """Tokens in one batch."""

    device: str | None = None
    """Where the encoder runs, such as cpu or cuda:0; left out, a GPU if there is one."""

"""How items are turned into vectors by pretrained encoders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from distilrec.config import Settings

Dtype = Literal["auto", "float32", "bfloat16"]


def _form(value: object) -> str:
    return "<several>" if isinstance(value, list | tuple) else "<one>"


_One = Annotated[str, Tag("<one>")]
_Several = Annotated[tuple[str, ...], Field(min_length=1), Tag("<several>")]
OneOrSeveral = Annotated[_One | _Several, Discriminator(_form)]
"""A text or a list of texts; told apart by its form, so that an error is about the form that was written."""


class EncodeSettings(Settings):
    """Settings of the encode stage."""

    model: OneOrSeveral = "all-MiniLM-L6-v2"
    """A folder, or a name on the Hugging Face hub: a sentence-transformers or transformers encoder; or several, whose
    vectors are joined."""

    template: OneOrSeveral | None = None
    """What the encoder reads of an item, such as "{title}. {genres}"; or several, each encoded by itself; left out,
    columns that look like text."""

    max_tokens: int | None = Field(default=None, ge=4)
    """Longer texts are cut; left out, what the model says."""

    dtype: Dtype = "auto"
    """Number type of the encoder's arithmetic; auto is bfloat16 where the processor has it."""

    token_budget: int = Field(default=4096, ge=1)
    """Tokens in one batch."""

    device: str | None = None
    """Where the encoder runs, such as cpu or cuda:0; left out, a GPU if there is one."""

    @field_validator("model", "template")
    @classmethod
    def _one_alone(cls, value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        """A list of one is that one, so that it gives what that one gives."""
        return value[0] if isinstance(value, tuple) and len(value) == 1 else value

    @property
    def models(self) -> tuple[str, ...]:
        """The encoders' names or folders, at least one."""
        return (self.model,) if isinstance(self.model, str) else self.model

    @property
    def templates(self) -> tuple[str | None, ...]:
        """What they read, at least one; None is the columns that look like text."""
        return self.template if isinstance(self.template, tuple) else (self.template,)

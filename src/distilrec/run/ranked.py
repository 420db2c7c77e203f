"""Knowledge of teachers that are no model of ours: all there is of them is ranked lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distilrec.encode.folder import digest_of_folder, locate, transformer_folder
from distilrec.files import sha256_of_file
from distilrec.knowledge import Knowledge
from distilrec.run.stages import Prepared
from distilrec.run.teacher_stages import OutsideTeacher, ZeroShotTeacher
from distilrec.run.teachers import import_knowledge
from distilrec.run.zero_shot import zero_shot_knowledge
from distilrec.teach.prompts import load_prompt

RanksOnly = OutsideTeacher | ZeroShotTeacher


def ranked_knowledge(
    stage: RanksOnly,
    prepared: Prepared,
    folder: Path,
    *,
    max_length: int,
    template: str | None = None,
    quiet: bool = False,
) -> tuple[Knowledge, list[str]]:
    """Make knowledge in `folder`; return it and what was read or asked, for people.

    Args:
        max_length: positions of a training window.
        template: what a language model reads of an item; none takes its title.
    """
    if isinstance(stage, OutsideTeacher):
        return import_knowledge(stage, prepared, folder, max_length=max_length)
    return zero_shot_knowledge(stage, prepared, folder, max_length=max_length, template=template, quiet=quiet)


def decides_ranks(stage: RanksOnly, *, template: str | None, quiet: bool = False) -> dict[str, Any]:
    """All that such knowledge depends on beside the data, as plain values: contents of files, not their names."""
    if isinstance(stage, OutsideTeacher):
        files = [sha256_of_file(path) if path else None for path in (stage.rankings, stage.vectors)]
        return {"reading": stage.reading.model_dump(mode="json"), "files": files}
    prompt = load_prompt(stage.prompt)
    return {
        "language_model": digest_of_folder(transformer_folder(locate(stage.model, quiet=quiet))),
        "prompt": [prompt.with_history, prompt.without_history],
        "template": template,
        **stage.model_dump(mode="json", exclude={"model", "prompt"}),
    }

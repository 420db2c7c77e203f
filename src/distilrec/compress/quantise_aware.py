"""Fewer bits that the student learns to live with: quantisation in training, with the loss it was distilled by."""

from __future__ import annotations

from typing import Literal

from distilrec.compress.quantise import GroupForms, forms_for
from distilrec.compress.retraining import Retraining, needs_training, retrained
from distilrec.compress.steps import packed_of, restored
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender
from distilrec.storage import Int4
from distilrec.storage.forms import TableForm


class QuantiseAware(GroupForms):
    """As `quantise`, and the student is trained once more with its arrays rounded."""

    kind: Literal["quantise_aware"] = "quantise_aware"
    """Its name."""
    table: TableForm | None = Int4()
    """The item table: most of a recommender."""
    reassign: bool = True
    """Whether the codes of codebooks are found anew after each epoch; otherwise each item keeps its codes."""


def quantise_aware(recommender: Recommender, settings: QuantiseAware, training: Retraining | None) -> Recommender:
    """The same model, trained once more while every step sees what the stored arrays decode to.

    Gradients go straight through the rounding (Bengio et al. 2013; Jacob et al., CVPR 2018). The bits that training saw
    are those that are stored: a model that was good on validation is as good when it is loaded.

    Raises:
        SettingsError: there is nothing to train with, it is not a student, an array is quantised already, or a form
            cannot hold it.
    """
    needed = needs_training(recommender, settings, training)
    before = packed_of(recommender)
    forms = forms_for(before, settings)
    if not forms:
        raise SettingsError(f"a model of kind {recommender.model.kind} has none of the arrays that are to be quantised")
    small = restored(recommender, before.storing(forms), done=settings)
    return retrained(small, needed, before=before, reassign=settings.reassign)

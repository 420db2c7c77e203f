"""Numbers rounded in training as they will be stored, with gradients that go straight through the rounding."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from distilrec.storage import Float16, Float32, Form, Int4, Int8
from distilrec.storage.form import Array
from distilrec.storage.integers import pack_halves
from distilrec.types import FloatArray

_LIMITS: dict[type[Form], int] = {Int8: 127, Int4: 7}


class Rounding(nn.Module):
    """An array as a form decodes it, to the bit; its gradient is that of the array before it was rounded.

    The straight-through estimator of Bengio et al. 2013. Where a form has scales they stay as they are from step to
    step, until `choose`; a number beyond its row's largest code has no gradient, so it does not run away.
    """

    def __init__(self, form: Form | None, array: FloatArray) -> None:
        """`form` is one that holds nothing in other forms; none rounds nothing."""
        super().__init__()
        self.form = form if not isinstance(form, Float32) else None
        self.kept = form
        if isinstance(form, Int8 | Int4):
            for name, part in form.encode(array).items():
                if name != "codes":
                    self.register_buffer(name, torch.from_numpy(part))

    def forward(self, latent: Tensor) -> Tensor:
        """The rounded array, in the shape of the one given."""
        if self.form is None:
            return latent
        with torch.no_grad():
            decoded, inside = self._rounded(latent)
        return decoded + (latent - latent.detach()) * inside  # the difference is 0, so the bits are the decoded ones'

    def choose(self, latent: Tensor) -> None:
        """Scales anew, for the numbers as they are now."""
        if isinstance(self.form, Int8 | Int4):
            for name, part in self.form.encode(as_array(latent)).items():
                if name != "codes":
                    getattr(self, name).copy_(torch.from_numpy(part))

    def stored(self, latent: Tensor) -> dict[str, Array]:
        """The parts that decode to what `forward` gives."""
        if not isinstance(self.form, Int8 | Int4):
            return (self.kept or Float32()).encode(as_array(latent))
        codes = as_array(self._codes(latent)[0]).reshape(latent.shape).astype(np.int8)
        scales = {name: np.array(value.cpu().numpy()) for name, value in self.named_buffers()}
        return {"codes": pack_halves(codes + 8) if isinstance(self.form, Int4) else codes, **scales}

    def _rounded(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The decoded array, and 1 where a number is within reach of the codes."""
        if not isinstance(self.form, Int8 | Int4):
            kind = torch.float16 if isinstance(self.form, Float16) else torch.bfloat16
            return latent.to(kind).float(), torch.ones_like(latent)
        codes, scales, units = self._codes(latent)
        inside = units.abs() <= _LIMITS[type(self.form)] + 0.5
        return (codes * scales).reshape(latent.shape), inside.reshape(latent.shape).float()

    def _codes(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, scales that broadcast to them, and the numbers in units of their scales."""
        held = dict(self.named_buffers())
        scales = held["scales"].float() * held.get("unit", 1.0)  # [rows], or [rows, groups]
        units = latent.reshape(*scales.shape, -1) * torch.where(scales > 0, 1 / scales, 0.0)[..., None]
        limit = _LIMITS[type(self.form)]  # type: ignore[index]
        return units.round().clamp(-limit, limit), scales[..., None], units


def as_array(tensor: Tensor) -> FloatArray:
    """A copy, float32, in plain order."""
    return np.array(tensor.detach().cpu().float().numpy(), order="C")

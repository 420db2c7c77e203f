"""The encoder graph: what lies between the vectors of a history and what the user wants next (decision 0017)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distilrec.errors import ArtifactError, MissingExtraError
from distilrec.models.product_form import ProductForm

OPSET = 20
VECTORS, LENGTHS, WANTED = "vectors", "lengths", "wanted"
_EXAMPLE = (2, 4)  # histories, positions: any sizes but 1, which the tracer would take for a fixed one


class Encoder(nn.Module):
    """What the user wants after the newest item of each history."""

    def __init__(self, model: ProductForm) -> None:
        super().__init__()
        self.model = model

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """[B, L, D_in] and [B], from 1 to L -> [B, D]"""
        return self.model.read_newest(vectors, lengths)


def encoder_graph(model: ProductForm) -> bytes:
    """A student's encoder as ONNX, for any number of histories of any length up to the model's own.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ArtifactError: the model does what no graph can hold.
    """
    _check_installed()
    width = input_width(model)
    histories, longest = _EXAMPLE[0], min(_EXAMPLE[1], model.max_length)
    example = torch.zeros(histories, longest, width), torch.full((histories,), longest)
    # a model that reads one item has no length that could vary
    length = {1: torch.export.Dim("length", min=1, max=model.max_length)} if longest > 1 else {}
    batch = {0: torch.export.Dim("batch", min=1)}
    with torch.no_grad(), _without_the_exporters_own_warnings():
        try:
            program = torch.onnx.export(
                Encoder(model).eval(),
                example,
                dynamo=True,
                input_names=[VECTORS, LENGTHS],
                output_names=[WANTED],
                dynamic_shapes={VECTORS: {**batch, **length}, LENGTHS: batch},
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ArtifactError(f"torch makes no graph of a {model.kind}: {error}. Distil a student from it") from error
    assert program is not None  # with dynamo there is a program
    return bytes(program.model_proto.SerializeToString())


@torch.no_grad()
def input_width(model: ProductForm) -> int:
    """Numbers of an item's vector as it is read in a history, D_in."""
    return int(model.input_vectors(model.item_vectors()).shape[1])


def _check_installed() -> None:
    for library in ("onnx", "onnxscript"):
        try:
            __import__(library)
        except ImportError:
            raise MissingExtraError(library, "export") from None


@contextmanager
def _without_the_exporters_own_warnings() -> Iterator[None]:
    """What torch and onnxscript say of themselves while they export, which nobody who exports can change."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # of torch's use of copyreg
        warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)  # two axes of one name
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)

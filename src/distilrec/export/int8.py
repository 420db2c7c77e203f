"""An encoder whose products with weights are of int8 numbers, by ONNX Runtime's quantiser.

Weights get a scale for each output. What they are multiplied with gets one scale for a whole array: measured at every
request (dynamic), or once, on histories of real users (static).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from distilrec.errors import ArtifactError, MissingExtraError
from distilrec.export.encoder import LENGTHS, VECTORS
from distilrec.types import FloatArray, IntArray

Sample = tuple[FloatArray, IntArray]
"""Vectors of histories [B, L, D_in], and their lengths [B]."""

_PRODUCTS = ["MatMul", "Gemm"]
_OPTIONS = {"MatMulConstBOnly": True}  # products with weights alone; those of attention are of two things that vary
_INT8_PRODUCTS = {"MatMulInteger", "DynamicQuantizeMatMul", "QLinearMatMul", "DequantizeLinear"}


def int8_encoder(graph: bytes, samples: Sequence[Sample] | None = None) -> bytes:
    """The same encoder in int8.

    Args:
        graph: what `encoder_graph` made.
        samples: what to measure the range of numbers on; none measures it at every request.

    Raises:
        MissingExtraError: onnx or ONNX Runtime is not installed.
        ArtifactError: it has no product with a table of weights.
    """
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError:
        raise MissingExtraError("onnxruntime and onnx", "export") from None
    # without VNNI, sums of two products of 8 by 8 bits can leave 16 bits: weights get 7
    form: dict[str, Any] = {"per_channel": True, "reduce_range": True, "extra_options": _OPTIONS}
    form |= {"op_types_to_quantize": _PRODUCTS, "weight_type": quantization.QuantType.QInt8}
    with TemporaryDirectory() as folder, _quiet():
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        plain.write_bytes(graph)
        if samples is None:
            quantization.quantize_dynamic(plain, small, **form)
        else:
            reader = _reader(samples, quantization.CalibrationDataReader)
            quantization.quantize_static(plain, small, reader, **form)
        written = small.read_bytes()
    if not _INT8_PRODUCTS & {node.op_type for node in onnx.load_from_string(written).graph.node}:
        raise ArtifactError("the encoder has no product with weights that could be in int8; export it in float32")
    return written


def _reader(samples: Sequence[Sample], base: type[Any]) -> Any:  # noqa: ANN401  (untyped library)
    """Samples one by one, as ONNX Runtime asks for them."""

    class Reader(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            vectors, lengths = next(self._left, (None, None))
            return None if vectors is None else {VECTORS: vectors, LENGTHS: lengths}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice to prepare the graph by another tool, which changes nothing here."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)

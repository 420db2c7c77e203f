"""A graph in ONNX Runtime, with as many threads as were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distilrec.errors import ArtifactError, MissingExtraError


def open_session(graph: bytes, inputs: Sequence[str], *, threads: int, what: str) -> Any:  # noqa: ANN401  (untyped library)
    """Load a graph that `distilrec export` wrote.

    Args:
        inputs: the names of what it takes.
        what: what it is called when it is refused.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ArtifactError: it is no such graph.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", "run") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # what it says of graphs that it can improve is for those who write it
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        raise ArtifactError(f"{what} is no graph that ONNX Runtime reads ({error}); export it again") from None
    names = [one.name for one in session.get_inputs()]
    if names != list(inputs):
        raise ArtifactError(f"{what} takes {', '.join(names)}; expected {', '.join(inputs)}. Export it again")
    return session

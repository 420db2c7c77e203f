"""The all-in-one graph: row numbers of histories in, their best items out. For browsers, phones and Triton.

    items    int64 [B, L]   rows of the catalogue, oldest first, padded on the right with 0
    lengths  int64 [B]      how many of them are real, from 1 to L
    k        int64 [1]      how many items are wanted
    ->
    best     int64 [B, k]   rows of the catalogue, best first; items of the history are left out
    scores   float32 [B, k]

It holds the item table: int8 codes with a scale for each row where it is stored so, float16 likewise, else float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from distilrec.errors import MissingExtraError
from distilrec.export.encoder import LENGTHS, OPSET, VECTORS, WANTED
from distilrec.search import FloatRows, Int8Rows, Rows

_PREFIX = "encoder/"


def all_in_one_graph(encoder: bytes, read: Rows, ranked: Rows, *, same_table: bool) -> bytes:
    """Put tables and ranking around an encoder graph.

    Args:
        read: what a history's items are looked up in, [N, D_in].
        ranked: item vectors, [N, D].
        same_table: whether the two are one, which is then held once.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError:
        raise MissingExtraError("onnx", "export") from None
    body = onnx.compose.add_prefix(onnx.load_from_string(encoder), _PREFIX)
    graph = _Graph(helper.make_node, onnx.numpy_helper.from_array)
    ranked_table = graph.table("items_table", ranked)
    read_table = ranked_table if same_table else graph.table("history_table", read)
    graph.look_up(read_table, "items", _PREFIX + VECTORS)
    graph.nodes += [helper.make_node("Identity", ["lengths"], [_PREFIX + LENGTHS]), *body.graph.node]
    graph.score(ranked_table, _PREFIX + WANTED)
    graph.leave_out_history(ranked.n_items)
    graph.nodes.append(helper.make_node("TopK", ["kept", "k"], ["scores", "best"], axis=1))
    whole = helper.make_graph(
        graph.nodes,
        "recommend",
        [
            helper.make_tensor_value_info("items", TensorProto.INT64, ["batch", "length"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("best", TensorProto.INT64, ["batch", "wanted"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "wanted"]),
        ],
        [*graph.arrays, *body.graph.initializer],
    )
    opsets = [helper.make_opsetid("", OPSET), *(one for one in body.opset_import if one.domain)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=body.ir_version, functions=list(body.functions))
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written


@dataclass(frozen=True)
class _Table:
    name: str
    rows: Rows


@dataclass
class _Graph:
    """Nodes and arrays as they come."""

    make_node: Callable[..., Any]
    from_array: Callable[[Any, str], Any]
    nodes: list[Any] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)

    def constant(self, name: str, values: Any) -> str:  # noqa: ANN401  (whatever numpy takes)
        self.arrays.append(self.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:  # noqa: ANN401
        self.nodes.append(self.make_node(operator, inputs, [output], **attributes))
        return output

    def table(self, name: str, rows: Rows) -> _Table:
        """Keep a table in the form that it is stored in, or decoded where a graph has no such form."""
        if not isinstance(rows, Int8Rows | FloatRows):
            rows = FloatRows(rows.take_range(0, rows.n_items))
        if isinstance(rows, Int8Rows):
            self.constant(f"{name}/codes", rows.codes)
            self.constant(f"{name}/scales", rows.scales)
        else:
            self.constant(f"{name}/values", rows.table)
        return _Table(name, rows)

    def look_up(self, table: _Table, items: str, output: str) -> None:
        """The vectors of some items, float32."""
        if isinstance(table.rows, Int8Rows):
            codes = self.add("Gather", [f"{table.name}/codes", items], "read/codes", axis=0)
            scales = self.add("Gather", [f"{table.name}/scales", items], "read/scales", axis=0)
            numbers = self.add("Cast", [codes], "read/numbers", to=1)  # float32
            last = self.constant("read/last_axis", np.array([-1], dtype=np.int64))
            self.add("Mul", [numbers, self.add("Unsqueeze", [scales, last], "read/columns")], output)
        else:
            values = self.add("Gather", [f"{table.name}/values", items], "read/values", axis=0)
            self.add("Cast", [values], output, to=1)

    def score(self, table: _Table, wanted: str) -> None:
        """`products`, [B, N]: the scale of an item's row multiplies its score, not each of its numbers."""
        held = f"{table.name}/{'codes' if isinstance(table.rows, Int8Rows) else 'values'}"
        numbers = self.add("Cast", [held], "score/numbers", to=1)
        columns = self.add("Transpose", [numbers], "score/columns", perm=[1, 0])
        if isinstance(table.rows, Int8Rows):
            plain = self.add("MatMul", [wanted, columns], "score/plain")
            self.add("Mul", [plain, f"{table.name}/scales"], "products")
        else:
            self.add("MatMul", [wanted, columns], "products")

    def leave_out_history(self, n_items: int) -> None:
        """`kept`, [B, N]: minus infinity for items of the history.

        Padding is sent to a column beyond the last item, which is cut off again.
        """
        zero, last = self.constant("zero", np.int64(0)), self.constant("last", np.array([1], dtype=np.int64))
        length = self.add("Gather", [self.add("Shape", ["items"], "items/shape"), last], "items/length")
        flat = self.add("Squeeze", [length], "items/count")
        at = self.add("Range", [zero, flat, self.constant("one", np.int64(1))], "items/at")  # [L]
        ends = self.add("Unsqueeze", ["lengths", last], "items/ends")  # [B, 1]
        real = self.add("Less", [at, ends], "items/real")  # [B, L]
        beyond = self.constant("beyond", np.int64(n_items))
        place = self.add("Where", [real, "items", beyond], "items/places")
        padding = self.constant("padding", np.array([0, 0, 0, 1], dtype=np.int64))
        wider = self.add("Pad", ["products", padding], "products/wider")
        lowest = self.constant("lowest", np.float32(-np.inf))
        low = self.add("Expand", [lowest, self.add("Shape", ["items"], "items/sizes")], "items/low")
        marked = self.add("ScatterElements", [wider, place, low], "products/marked", axis=1)
        begin, end = self.constant("begin", np.array([0], dtype=np.int64)), self.constant("end", np.array([n_items]))
        self.add("Slice", [marked, begin, end, last], "kept")

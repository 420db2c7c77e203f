"""Tensors of the Open Inference Protocol: as JSON, and as Triton's clients send them, bytes behind the JSON.

https://kserve.github.io/website/latest/modelserving/data_plane/v2_protocol/ and Triton's binary tensor data extension.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from distilrec.serve.refusals import RefusedError, shown

_WIDTHS = {"INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2"}
_WIDTHS |= {"UINT32": "<u4", "UINT64": "<u8", "BOOL": "?", "FP32": "<f4", "FP64": "<f8"}
Value = int | float | bool | str


@dataclass(frozen=True)
class Tensor:
    """A named array, flat, row after row."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Value]

    def rows(self) -> list[Sequence[Value]]:
        """The array as rows; an array of one dimension is one row."""
        width = self.shape[-1] if self.shape else 1
        if len(self.shape) < 2:
            return [self.data]
        return [self.data[row * width : (row + 1) * width] for row in range(self.shape[0])]


def read_tensors(given: Any, binary: bytes) -> dict[str, Tensor]:  # noqa: ANN401  (whatever JSON holds)
    """The inputs of a request by name."""
    if not isinstance(given, list) or not given:
        raise wrong("inputs", "a list of at least one tensor", given)
    found: dict[str, Tensor] = {}
    for number, one in enumerate(given):
        tensor, binary = _read(one, f"inputs.{number}", binary)
        found[tensor.name] = tensor
    if binary:
        raise wrong("the bytes behind the JSON", "as many as binary_data_size says", f"{len(binary)} more")
    return found


def _read(given: Any, where: str, binary: bytes) -> tuple[Tensor, bytes]:  # noqa: ANN401
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise wrong(where, "an object with name, shape, datatype and data", given)
    name, datatype, shape = given["name"], given.get("datatype"), given.get("shape")
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in _WIDTHS):
        raise wrong(f"{where}.datatype", f"BYTES or one of {', '.join(_WIDTHS)}", datatype)
    if not isinstance(shape, list) or not all(isinstance(n, int) and 0 <= n < 2**31 for n in shape) or len(shape) > 8:
        raise wrong(f"{where}.shape", "a list of whole numbers", shape)
    parameters = given.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        data = list(_flat(given.get("data"), where))
    else:
        if not isinstance(size, int) or not 0 <= size <= len(binary):
            raise wrong(f"{where}.parameters.binary_data_size", f"at most {len(binary)}, what came", size)
        data, binary = _from_bytes(binary[:size], datatype, where), binary[size:]
    count = 1
    for number in shape:
        count *= number
    if len(data) != count:
        raise wrong(f"{where}.data", f"{count} values, as shape {shape} says", f"{len(data)} values")
    return Tensor(name, datatype, shape, data), binary


def _flat(data: Any, where: str) -> Iterator[Value]:  # noqa: ANN401
    if not isinstance(data, list):
        raise wrong(f"{where}.data", "a list, flat or nested", data)
    waiting = [iter(data)]
    while waiting:
        for value in waiting[-1]:
            if isinstance(value, list):
                waiting.append(iter(value))
                break
            if not isinstance(value, int | float | str):
                raise wrong(f"{where}.data", "numbers or text", value)
            yield value
        else:
            waiting.pop()


def _from_bytes(raw: bytes, datatype: str, where: str) -> list[Value]:
    if datatype == "BYTES":
        return list(_texts(raw, where))
    kind = np.dtype(_WIDTHS[datatype])
    if len(raw) % kind.itemsize:
        raise wrong(f"{where}: its bytes", f"a multiple of {kind.itemsize}", f"{len(raw)} bytes")
    values: list[Value] = np.frombuffer(raw, kind).tolist()
    return values


def _texts(raw: bytes, where: str) -> Iterator[str]:
    place = 0
    while place < len(raw):
        end = place + 4
        length = struct.unpack_from("<I", raw, place)[0] if end <= len(raw) else len(raw)
        if end + length > len(raw):
            raise wrong(f"{where}: its bytes", "a length of four bytes before each text", "fewer bytes than told")
        try:
            yield raw[end : end + length].decode("utf-8")
        except UnicodeDecodeError:
            raise wrong(f"{where}: its bytes", "text in UTF-8", raw[end : end + length]) from None
        place = end + length


def write_tensors(head: dict[str, Any], tensors: Sequence[Tensor], binary: frozenset[str]) -> tuple[bytes, int | None]:
    """An answer, and how long its JSON is where bytes follow it."""
    outputs, tail = [], b""
    for tensor in tensors:
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if tensor.name in binary:
            raw = _to_bytes(tensor)
            told["parameters"], tail = {"binary_data_size": len(raw)}, tail + raw
        else:
            told["data"] = list(tensor.data)
        outputs.append(told)
    body = orjson.dumps({**head, "outputs": outputs})
    return (body + tail, len(body)) if binary else (body, None)


def _to_bytes(tensor: Tensor) -> bytes:
    if tensor.datatype != "BYTES":
        return np.asarray(tensor.data, dtype=_WIDTHS[tensor.datatype]).tobytes()
    texts = [str(value).encode("utf-8") for value in tensor.data]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def wrong(what: str, expected: str, came: Any) -> RefusedError:  # noqa: ANN401  (whatever came)
    """A part of a request that is not what the protocol says."""
    return RefusedError(400, f"{what} is wrong", expected, shown(came), "see GET /v2/models/NAME for names and types")

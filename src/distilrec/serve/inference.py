"""The Open Inference Protocol, version 2: what KServe and Triton clients speak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, Request, Response

from distilrec import __version__
from distilrec.serve.answers import Answers
from distilrec.serve.batching import Question
from distilrec.serve.model import Id, InUse, plain
from distilrec.serve.refusals import RefusedError, shown
from distilrec.serve.settings import ServeSettings
from distilrec.serve.tensors import Tensor, Value, read_tensors, write_tensors, wrong

if TYPE_CHECKING:  # they load polars, whose threads must not be there when workers are forked
    from distilrec.serve.runtime import Recommendations

_LENGTH = "inference-header-content-length"
_MOST_ROWS = 256
_NO_SCORE = -3.4e38  # JSON has no infinity
_USUAL_K = 10
_TENSOR = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"enum": ["history", "k"]},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array"},
    },
}
_TENSORS = {"inputs": {"type": "array", "items": _TENSOR}, "outputs": {"type": "array"}, "id": {"type": "string"}}
_SCHEMA = {"type": "object", "required": ["inputs"], "properties": _TENSORS}
_INFER_BODY = {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}


class Inference:
    """A history of ids in, the best ids and their scores out."""

    def __init__(self, in_use: InUse, answers: Answers, settings: ServeSettings) -> None:
        """Speak for the model in use."""
        self._in_use, self._answers, self._settings = in_use, answers, settings

    def add_routes(self, app: FastAPI) -> None:
        """Add the routes under /v2."""
        for path in ("/v2/health/live", "/v2/health/ready"):
            app.get(path, summary="Open Inference Protocol: health")(self._health)
        app.get("/v2", summary="Open Inference Protocol: the server")(self._server)
        model = "/v2/models/{name}"
        for place, names in ((model, ["name"]), (model + "/versions/{version}", ["name", "version"])):
            told: dict[str, Any] = {"parameters": [_in_path(name) for name in names]}
            app.get(place, summary="Open Inference Protocol: the model", openapi_extra=told)(self._model)
            ready, infer = f"{place}/ready", f"{place}/infer"
            app.get(ready, summary="Open Inference Protocol: whether it answers", openapi_extra=told)(self._ready)
            told = {**told, "requestBody": _INFER_BODY}
            app.post(infer, summary="Open Inference Protocol: recommend", openapi_extra=told)(self._infer)

    async def _health(self, request: Request) -> Response:
        key = request.url.path.rpartition("/")[2]
        return _json({key: True})

    async def _server(self) -> Response:
        return _json({"name": "distilrec", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def _ready(self, request: Request) -> Response:
        self._check_name(request)
        return _json({"name": self._settings.name, "ready": True})

    async def _model(self, request: Request) -> Response:
        self._check_name(request)
        ids = {"datatype": self._datatype(), "shape": [-1, -1]}
        told = {
            "name": self._settings.name,
            "versions": [self._version()],
            "platform": "distilrec",
            "inputs": [{"name": "history", **ids}, {"name": "k", "datatype": "INT32", "shape": [1]}],
            "outputs": [{"name": "item_ids", **ids}, {"name": "scores", "datatype": "FP32", "shape": [-1, -1]}],
        }
        return _json(told)

    async def _infer(self, request: Request) -> Response:
        self._check_name(request)
        asked, binary = _split(await request.body(), request.headers.get(_LENGTH))
        tensors = read_tensors(asked.get("inputs"), binary)
        histories, k = _histories(tensors), self._k(tensors)
        found = await asyncio.gather(*(self._answers.ask(Question(history, k)) for history in histories))
        head = {"model_name": self._settings.name, "model_version": self._version()}
        if isinstance(asked.get("id"), str):
            head["id"] = asked["id"]
        wanted, as_bytes = _outputs(asked)
        outputs = [one for one in self._as_tensors(found, k) if not wanted or one.name in wanted]
        body, length = write_tensors(head, outputs, as_bytes)
        if length is None:
            return Response(body, media_type="application/json")
        return Response(body, headers={_LENGTH: str(length)}, media_type="application/octet-stream")

    def _as_tensors(self, found: list[Recommendations], k: int) -> list[Tensor]:
        datatype = self._datatype()
        nothing: Id = "" if datatype == "BYTES" else -1
        ids: list[Value] = []
        scores: list[Value] = []
        for one in found:
            missing = k - len(one.item_ids)
            ids += [*map(plain, one.item_ids), *[nothing] * missing]
            scores += [*map(float, one.scores), *[_NO_SCORE] * missing]
        shape = [len(found), k]
        return [Tensor("item_ids", datatype, shape, ids), Tensor("scores", "FP32", shape, scores)]

    def _k(self, tensors: dict[str, Tensor]) -> int:
        given = tensors["k"].data if "k" in tensors else [_USUAL_K]
        most = self._settings.max_k
        if len(given) != 1 or not isinstance(given[0], int) or not 1 <= given[0] <= most:
            raise wrong("the tensor k", f"one whole number from 1 to {most}", given)
        return min(given[0], self._in_use.model.n_items)

    def _datatype(self) -> str:
        return "INT64" if self._in_use.model.items["item_id"].dtype.is_integer() else "BYTES"

    def _version(self) -> str:
        return self._in_use.model.digest[:12]

    def _check_name(self, request: Request) -> None:
        name, version = request.path_params["name"], request.path_params.get("version")
        if name != self._settings.name or version not in (None, "1", self._version()):
            known = f"{self._settings.name}, version {self._version()} or 1"
            came = shown(f"{name}, version {version}" if version else name)
            raise RefusedError(
                404,
                "there is no such model",
                known,
                came,
                "ask for the one there is, or start the server with another name",
            )


def _split(body: bytes, length: str | None) -> tuple[dict[str, Any], bytes]:
    if length is not None and not (length.isascii() and length.isdigit() and int(length[:12]) <= len(body)):
        raise wrong(f"the header {_LENGTH}", f"at most {len(body)}, the size of the body", length)
    end = len(body) if length is None else int(length)
    try:
        asked = orjson.loads(body[:end])
    except orjson.JSONDecodeError as error:
        raise wrong("the body", "JSON", str(error)) from None
    if not isinstance(asked, dict):
        raise wrong("the body", "a JSON object with inputs", asked)
    return asked, body[end:]


def _histories(tensors: dict[str, Tensor]) -> list[list[Id]]:
    """The ids of each row; what fills a row up (-1 or empty text) is left out."""
    for name in tensors:
        if name not in ("history", "k"):
            raise wrong("inputs", "the tensors history and k", name)
    if "history" not in tensors:
        raise wrong("inputs", "a tensor named history", list(tensors))
    rows = tensors["history"].rows()
    if len(rows) > _MOST_ROWS or len(tensors["history"].shape) > 2:
        raise wrong("the tensor history", f"the shape [B, L], B at most {_MOST_ROWS}", tensors["history"].shape)
    return [[_id(value) for value in row if value not in (-1, "")] for row in rows]


def _id(value: Value) -> Id:
    if isinstance(value, float | bool):
        raise wrong("the tensor history", "ids as whole numbers or text", value)
    return value


def _outputs(asked: dict[str, Any]) -> tuple[list[str], frozenset[str]]:
    """Which outputs are wanted (none: all), and which of them as bytes."""
    parameters, outputs = asked.get("parameters"), asked.get("outputs")
    every = bool(parameters.get("binary_data_output")) if isinstance(parameters, dict) else False
    if outputs is None:
        return [], frozenset({"item_ids", "scores"}) if every else frozenset()
    if not isinstance(outputs, list) or not all(isinstance(one, dict) for one in outputs):
        raise wrong("outputs", "a list of objects with names", outputs)
    names = [one.get("name") for one in outputs]
    if not set(map(str, names)) <= {"item_ids", "scores"}:
        raise wrong("outputs", "item_ids, scores", names)
    asked_as_bytes = {
        one["name"]
        for one in outputs
        if isinstance(one.get("parameters"), dict) and one["parameters"].get("binary_data", every)
    }
    unsaid = {one["name"] for one in outputs if every and not isinstance(one.get("parameters"), dict)}
    return names, frozenset(asked_as_bytes | unsaid)


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _in_path(name: str) -> dict[str, Any]:
    """What /docs says of a part of an address that the route reads itself."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}

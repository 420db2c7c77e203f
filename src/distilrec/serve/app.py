"""The web application: routes and their documentation, behind the door."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, TypeAdapter
from starlette.exceptions import HTTPException

from distilrec import __version__
from distilrec.serve.answers import Answers
from distilrec.serve.door import Application, Door
from distilrec.serve.guards import Keys
from distilrec.serve.inference import Inference
from distilrec.serve.metrics import Metrics
from distilrec.serve.model import InUse
from distilrec.serve.questions import Event, Events, RecommendRequest, SimilarRequest
from distilrec.serve.refusals import OURS, RefusedError
from distilrec.serve.settings import ServeSettings
from distilrec.serve.store.events import Store
from distilrec.serve.store.grouped import GroupedStore

Background = Callable[[], Awaitable[None]]
"""What runs beside the answers until it is cancelled."""

_WAITING_EVENTS = 10_000


def make_application(
    in_use: InUse, settings: ServeSettings, metrics: Metrics | None = None, background: Background | None = None
) -> Application:
    """A server's application, in ASGI.

    Args:
        in_use: the model that answers.
        settings: how it behaves.
        metrics: where answers are counted.
        background: runs while the server does, such as what watches for a new model.
    """
    metrics = metrics or Metrics()
    keys = Keys.read(settings.api_key_file) if settings.api_key_file else None
    store = GroupedStore(Store(settings.store), max_waiting=_WAITING_EVENTS)
    answers = Answers(in_use, store, settings, metrics)
    app = FastAPI(title="DistilRec", version=__version__, description=_ABOUT, lifespan=_lifespan(store, background))
    _add_routes(app, answers)
    _add_health(app, in_use, store, metrics)
    Inference(in_use, answers, settings).add_routes(app)
    _answer_in_one_shape(app)
    direct = {"/recommend": answers.recommend}
    door: Application = Door(app, direct, settings, metrics, keys)
    if settings.cors_origins:
        origins = list(settings.cors_origins)
        door = CORSMiddleware(door, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    return door


_ABOUT = (
    "Recommendations from a small model. Every refusal has one shape: what is wrong, what was expected, what came, and "
    "what to do. Item and user ids are numbers or text; user 1 and user '1' are the same."
)


def _lifespan(
    store: GroupedStore, background: Background | None
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        beside = [asyncio.create_task(store.prepare())]
        if background is not None:
            beside.append(asyncio.create_task(background()))  # type: ignore[arg-type]
        yield
        for task in beside[1:]:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await store.close()

    return lifespan


def _add_routes(app: FastAPI, answers: Answers) -> None:
    @app.post("/recommend", **_takes(RecommendRequest), summary="The best items after a history")
    async def recommend(request: Request) -> Response:
        return as_json(await answers.recommend(await request.body()))

    @app.post("/similar", **_takes(SimilarRequest), summary="The nearest items of each item")
    async def similar(request: Request) -> Response:
        return as_json(await answers.similar(await request.body()))

    @app.post("/events", **_takes(Event, Events), summary="Keep one event or many; answered when they are on disk")
    async def events(request: Request) -> Response:
        return as_json(await answers.events(await request.body()))

    @app.get("/users/{user_id:path}", **_takes(), summary="What is known of a user")
    async def user(user_id: str) -> Response:
        return as_json(await answers.user(user_id))

    @app.delete("/users/{user_id:path}", **_takes(), summary="Forget a user, and look whether anything is left")
    async def forget(user_id: str) -> Response:
        return as_json(await answers.forget(user_id))


def _add_health(app: FastAPI, in_use: InUse, store: GroupedStore, metrics: Metrics) -> None:
    @app.get("/health/live", summary="The process runs")
    async def live() -> Response:
        return as_json(orjson.dumps({"live": True}))

    @app.get("/health/ready", summary="The model answers")
    async def ready() -> Response:
        """A store that is away does not make a server unready: recommendations with a history go on without it."""
        told = {
            "ready": True,
            "model": in_use.model.digest,
            "items": in_use.model.n_items,
            "store": store.fault or "ok",
        }
        return as_json(orjson.dumps(told))

    @app.get("/metrics", summary="For Prometheus")
    async def measured() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def as_json(body: bytes) -> Response:
    """JSON that is written already, as an answer."""
    return Response(body, media_type="application/json")


def _takes(*bodies: type[BaseModel]) -> dict[str, Any]:
    """What /docs says of a body that the route parses itself, and of refusals."""
    refusal = {"description": "Refused: what, expected, came, do", "content": {"application/json": {"schema": _ERROR}}}
    told: dict[str, Any] = {"responses": dict.fromkeys(["4XX", "503"], refusal)}
    if bodies:
        schemas = [TypeAdapter(body).json_schema() for body in bodies]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": [_inlined(one) for one in schemas]}
        content = {"application/json": {"schema": _inlined(schema)}}
        told["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return told


_TEXT = {"type": "string"}
_ERROR = {
    "type": "object",
    "properties": {
        "error": {"type": "object", "properties": dict.fromkeys(["what", "expected", "came", "do"], _TEXT)},
        "request_id": _TEXT,
    },
}


def _inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without references, which OpenAPI would look for elsewhere."""
    known = schema.get("$defs", {})

    def inline(part: Any) -> Any:  # noqa: ANN401  (whatever JSON holds)
        if isinstance(part, dict):
            if "$ref" in part:
                return inline(known[part["$ref"].rpartition("/")[2]])
            return {name: inline(value) for name, value in part.items() if name != "$defs"}
        return [inline(one) for one in part] if isinstance(part, list) else part

    inlined: dict[str, Any] = inline(dict(schema))
    return inlined


def _answer_in_one_shape(app: FastAPI) -> None:
    def refuse(request: Request, error: Exception) -> Response:
        refusal = error if isinstance(error, RefusedError) else OURS
        if isinstance(error, HTTPException):
            refusal = _as_refusal(request, error)
        body = refusal.body(str(request.scope.get("request_id", "")))
        allowed = dict(getattr(error, "headers", None) or {}) if isinstance(error, HTTPException) else {}
        return Response(body, refusal.status, {**allowed, **refusal.headers()}, "application/json")

    for kind in (RefusedError, HTTPException, Exception):  # the last is raised again, so that the door logs it
        app.add_exception_handler(kind, refuse)


def _as_refusal(request: Request, error: HTTPException) -> RefusedError:
    status = error.status_code
    what = {404: "there is nothing at this address", 405: "the address does not take this method"}
    came = f"{request.method} {request.scope['path']}"[:200].encode("utf-8", "backslashreplace").decode()
    return RefusedError(status, what.get(status, error.detail), "an address and method of /docs", came, "look at /docs")

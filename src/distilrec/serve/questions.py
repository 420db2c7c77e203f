"""What may be asked: the bodies of requests, checked once while they are parsed, and described in /docs."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    TypeAdapter,
    ValidationError,
)

from distilrec.serve.refusals import RefusedError, shown

T = TypeVar("T")

_WHOLE_NUMBER = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
ItemId = Annotated[Annotated[StrictStr, Field(max_length=1000)] | _WHOLE_NUMBER, Field(union_mode="left_to_right")]
UserId = Annotated[
    Annotated[StrictStr, Field(min_length=1, max_length=200)] | _WHOLE_NUMBER, Field(union_mode="left_to_right")
]
_Value = StrictBool | StrictInt | float | StrictStr
_TAGS = frozenset({"str", "int", "float", "bool", "constrained-str", "constrained-int", "one", "many"})


class Body(BaseModel):
    """A request; names that we do not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class RecommendRequest(Body):
    """Who wants what."""

    user_id: UserId | None = None
    """The user; the history is read from the store where none is given."""
    history: list[ItemId] | None = None
    """Items, oldest first; the store is not asked then."""
    k: Annotated[StrictInt, Field(ge=1)] = 10
    """How many items."""
    exclude_history: StrictBool = True
    """Leave out what the history has."""
    allow: list[ItemId] | None = None
    """Only these items."""
    block: list[ItemId] | None = None
    """None of these items."""
    where: dict[str, _Value | list[_Value]] | None = None
    """Only items whose column of the catalogue has this value, or one of these."""
    context: dict[str, Any] | None = None
    """Device, hour, page: kept out of the way, since today's models read none; the answer says so."""


class SimilarRequest(Body):
    """Which items' neighbours."""

    item_ids: Annotated[list[ItemId], Field(min_length=1, max_length=100)]
    """Items to start from, each answered by itself."""
    k: Annotated[StrictInt, Field(ge=1)] = 10
    """How many items for each."""


class Event(Body):
    """A user chose an item."""

    user_id: UserId
    """Who."""
    item_id: ItemId
    """What."""
    event_id: Annotated[StrictStr, Field(min_length=1, max_length=200)] | None = None
    """What makes sending it twice harmless; the server makes one up where there is none."""
    timestamp: Annotated[float, Field(strict=True)] | None = None
    """When, in seconds since 1970, for your own use: histories are in the order in which events arrive."""


class Events(Body):
    """Several at once: all are stored, or none."""

    events: Annotated[list[Event], Field(min_length=1, max_length=1000)]
    """In the order in which they happened."""


def _one_or_many(body: Any) -> str:  # noqa: ANN401  (whatever JSON holds)
    return "many" if isinstance(body, dict) and "events" in body else "one"


OneOrMany = Annotated[Annotated[Event, Tag("one")] | Annotated[Events, Tag("many")], Discriminator(_one_or_many)]
EVENTS: TypeAdapter[Event | Events] = TypeAdapter(OneOrMany)
RECOMMEND = TypeAdapter(RecommendRequest)
SIMILAR = TypeAdapter(SimilarRequest)


def parse(kind: TypeAdapter[T], body: bytes) -> T:
    """A body as one of the classes above.

    Raises:
        RefusedError: 400 where it is no JSON, 422 where a field is wrong.
    """
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> RefusedError:
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        why = str(first.get("ctx", {}).get("error", first["msg"]))
        return RefusedError(400, "the body is not JSON", "a JSON object in UTF-8", why, "send it as /docs shows")
    field = ".".join(map(str, _place(first["loc"]))) or "the body"
    more = len({_place(one["loc"]) for one in error.errors()}) - 1
    rest = f", and {more} more" if more else ""
    do = "correct it; /docs lists the fields"
    return RefusedError(422, f"{field} is wrong{rest}", _expected(error), shown(first["input"]), do)


def _expected(error: ValidationError) -> str:
    """What pydantic says of the first field that is wrong; of alternatives, all."""
    found = error.errors(include_url=False)
    here = [one["msg"] for one in found if _place(one["loc"]) == _place(found[0]["loc"])]
    told = [message.removeprefix("Input should be ") for message in here]
    return " or ".join(dict.fromkeys(told))


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where a fault lies, without pydantic's notes of which alternative it tried."""
    return tuple(part for part in location if part not in _TAGS)

"""Typed settings: frozen, unknown keys refused, read from YAML by section."""

import datetime as dt
import hashlib
import json
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from conf.errors import InputError

UNLESS_USUAL = "unless usual"


class Settings(BaseModel):
    """Base of every settings class. A field that cannot change a result says so: `json_schema_extra={"matters": False}`; one that is
    newer than tables are and changes none of them at its default: UNLESS_USUAL."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def digested(self) -> dict[str, Any]:
        """The settings that change results, as plain JSON values."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if self._matters(name)}

    def _matters(self, name: str) -> bool:
        field = type(self).model_fields[name]
        matters = field.json_schema_extra.get("matters", True) if isinstance(field.json_schema_extra, dict) else True
        return getattr(self, name) != field.default if matters == UNLESS_USUAL else bool(matters)


AnySettings = TypeVar("AnySettings", bound=Settings)


def digest(value: Any) -> str:
    """A sha256 over the canonical JSON of `value`: the same for any order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be part of a digest; pass plain JSON values")


def parse(model: type[AnySettings], values: dict[str, Any], section: str) -> AnySettings:
    """`values` as settings of `section`; raises InputError naming the first wrong key and what it accepts."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_first_problem(error, model, section)) from None


def shortened(text: str) -> str:
    """At most 160 characters of a text, for messages."""
    return text if len(text) <= 160 else f"{text[:157]}..."


def unknown_setting(key: str, section: str, known: Collection[str]) -> str:
    """What to say of a key that is none of `known`: which was meant, if one is like it, and all there are."""
    like = get_close_matches(key.lower(), sorted(known), n=2, cutoff=0.7)
    meant = f" did you mean {' or '.join('.'.join(part for part in (section, one) if part) for one in like)}?" if like else ""
    named = ".".join(part for part in (section, shortened(key)) if part)
    return f"unknown setting {named};{meant} {section or 'the place'} has: {', '.join(sorted(known)) or 'none'}"


def _fields_at(kind: Any, path: Sequence[Any]) -> Collection[str]:
    """Fields of the settings that lie at `path` below an annotation; none where there are none such."""
    if isinstance(kind, type) and issubclass(kind, Settings):
        field = kind.model_fields.get(str(path[0])) if path else None
        return kind.model_fields if not path else _fields_at(field.annotation, path[1:]) if field else ()
    # One of several kinds is named in the path unless the other is null; an entry of a dict or tuple always is.
    paths = (path, path[1:]) if get_origin(kind) in (Union, UnionType) else (path[1:],)
    found = (_fields_at(part, rest) for part in get_args(kind) for rest in paths)
    return next((fields for fields in found if fields), ())


def _first_problem(error: ValidationError, model: type[Settings], section: str) -> str:
    problem = error.errors()[0]
    # Of several kinds that a value may have, pydantic names the one that it speaks of: tuple[float, float].
    path = [str(part) for part in (section, *problem["loc"]) if part != "" and "[" not in str(part)]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return unknown_setting(path[-1], ".".join(path[:-1]), _fields_at(model, problem["loc"][:-1]))
    if problem["type"] == "missing":
        return f"setting {key} is missing; write it into the place's file, or add --set {key}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    # A whole section is no value that a reader could find again: such messages name what is wrong in it.
    value = "" if isinstance(problem["input"], (dict, Settings)) else f" = {shortened(repr(problem['input']))}"
    return f"setting {key}{value}: {message[0].lower()}{message[1:]}"

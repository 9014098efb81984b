"""Typed settings: frozen, unknown keys refused, read from YAML by section."""

import datetime as dt
import hashlib
import json
from typing import Any, TypeVar

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


def _first_problem(error: ValidationError, model: type[Settings], section: str) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in (section, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(model.model_fields)) or "none"
        return f"unknown setting {key}; {section or 'the place'} has: {known}"
    if problem["type"] == "missing":
        return f"setting {key} is missing; write it into the place's file, or add --set {key}=VALUE"
    message = problem["msg"].removeprefix("Value error, ")
    # A whole section is no value that a reader could find again: such messages name what is wrong in it.
    value = "" if isinstance(problem["input"], (dict, Settings)) else f" = {problem['input']!r}"
    return f"setting {key}{value}: {message[0].lower()}{message[1:]}"

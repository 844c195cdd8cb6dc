"""What a client sends, checked against the classes generated from the schemas.

Absent params, ``null`` and ``[]`` are ``{}``, and so is a list of exactly one object (what
some clients make of it); a field that is ``null`` is as good as absent. Everything else that
does not fit raises ``InvalidParams`` with the path of the field.
"""

from __future__ import annotations

import functools
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs

_T = TypeVar("_T")
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class InvalidParams(Exception):
    """Params that do not fit; ``str()`` is one line with the path of the field."""


def structure(value: Any, cls: type[_T]) -> _T:
    """``value`` as an object of the generated class ``cls``; raises InvalidParams."""
    if value is None or value == []:
        value = {}
    return _object(value, cls, "params")


@functools.cache
def _fields(cls: Any) -> dict[str, Any]:
    return {wire_name(field): field for field in attrs.fields(cls)}


def wire_name(field: Any) -> str:
    """The name on the wire of a generated class's field."""
    return field.metadata.get("name") or camel(field.name)


def camel(name: str) -> str:
    """A name as it is on the wire: ``work_done_token`` is ``workDoneToken``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _object(value: Any, cls: type[_T], path: str) -> _T:
    if type(value) is not dict:
        raise InvalidParams(f"{path} must be an object")
    known: dict[str, Any] = _fields(cls)  # type: ignore[arg-type]
    found: dict[str, Any] = {}
    for name, each in value.items():
        field = known.get(name)
        if field is None:
            raise InvalidParams(f"{path}.{_short(name)} is no field of {cls.__name__}")
        if each is not None:
            found[field.name] = _value(each, field.type, f"{path}.{name}", field.metadata)
    for name, field in known.items():
        if field.default is attrs.NOTHING and field.name not in found:
            raise InvalidParams(f"{path}.{name} is missing")
    return cls(**found)


def _value(value: Any, wanted: Any, path: str, limits: Any = types.MappingProxyType({})) -> Any:
    origin = get_origin(wanted)
    if origin is Union or origin is types.UnionType:
        options = [option for option in get_args(wanted) if option is not type(None)]
        if len(options) == 1:
            return _value(value, options[0], path, limits)
        if type(value) in options:
            return value
        raise InvalidParams(f"{path} must be {' or '.join(_WORDS[option] for option in options)}")
    if origin is Literal:
        known = get_args(wanted)
        if type(value) is str and value in known:
            return value
        raise InvalidParams(f"{path} must be one of {', '.join(map(repr, known))}")
    if origin is list:
        if type(value) is not list:
            raise InvalidParams(f"{path} must be a list")
        (inner,) = get_args(wanted)
        return [_value(each, inner, f"{path}[{place}]") for place, each in enumerate(value)]
    if attrs.has(wanted):
        return _object(value, wanted, path)
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is int and type(value) is float and value.is_integer():
        value = int(value)  # some clients know only floats
    if type(value) is not wanted:
        raise InvalidParams(f"{path} must be {_WORDS[wanted]}")
    low, high = limits.get("minimum"), limits.get("maximum")
    if low is not None and value < low:
        raise InvalidParams(f"{path} must be at least {low}")
    if high is not None and value > high:
        raise InvalidParams(f"{path} must be at most {high}")
    return value


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:40] + "…"

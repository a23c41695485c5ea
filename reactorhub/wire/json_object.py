"""Reads a JSON object that a program has sent."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from reactorhub.errors import InvalidRequest, UnreadableBody

_MAX_DIGITS = 300  # most readers of JSON take no larger numbers


def json_object(body: bytes) -> dict[str, Any]:
    """Return the object in a JSON text; an empty text is an empty object.

    :raises UnreadableBody: if it is not JSON.
    :raises InvalidRequest: if it is JSON, but not an object.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise UnreadableBody("is nested too deeply; send a flat object") from None
    except ValueError as error:
        raise UnreadableBody(f"is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest({"body": "must be a JSON object"})
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"{text[:20]}... is too large for a number")
    return int(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")

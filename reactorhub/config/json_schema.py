"""The JSON Schema of a value, and the mark that puts it beside the value's reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BeforeValidator, GetCoreSchemaHandler

JsonSchema = dict[str, Any]

VARIABLE: JsonSchema = {"type": "string", "pattern": r"\$\{"}
"""A text with a variable in it: an editor cannot know the value, so the schema accepts the text."""

LINE: JsonSchema = {"type": "string", "pattern": r"\S"}


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """Has pydantic read a value with ``reader``.

    ``accepts`` is the JSON Schema of what the reader accepts, as the file has it: variables are not filled in
    yet. A reader that wraps another has a function that makes its schema from the schema of the other.
    """

    reader: Callable[..., Any]
    accepts: JsonSchema | Callable[[JsonSchema], JsonSchema]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return BeforeValidator(self.reader).__get_pydantic_core_schema__(source, handler)

    def schema(self, inner: Callable[[], JsonSchema]) -> JsonSchema:
        """Return the JSON Schema of what the reader accepts."""
        return self.accepts(inner()) if callable(self.accepts) else self.accepts


def any_of(*schemas: JsonSchema) -> JsonSchema:
    """Accept what one of the schemas accepts."""
    return {"anyOf": list(schemas)}


def optional(schema: JsonSchema) -> JsonSchema:
    """Accept a section that has nothing in it, too."""
    return any_of(schema, {"type": "null"})


def text(pattern: str) -> JsonSchema:
    """Accept a text that matches the pattern, or one with a variable in it."""
    return {"type": "string", "pattern": rf"{pattern}|\$\{{"}

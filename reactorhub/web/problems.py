"""Errors as ``application/problem+json`` (RFC 9457), and the status of each error of the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from twisted.web.iweb import IRequest

from reactorhub.errors import (
    ConfigError,
    IllegalTransition,
    InvalidRequest,
    LedgerError,
    NotFound,
    QueueFull,
    ReactorHubError,
    RedisError,
    ShuttingDown,
    UnknownSpider,
    UnreadableBody,
)

STATUSES: Mapping[type[ReactorHubError], HTTPStatus] = {
    UnreadableBody: HTTPStatus.BAD_REQUEST,
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnknownSpider: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    ConfigError: HTTPStatus.UNPROCESSABLE_ENTITY,
    IllegalTransition: HTTPStatus.CONFLICT,
    QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    ShuttingDown: HTTPStatus.SERVICE_UNAVAILABLE,
    LedgerError: HTTPStatus.SERVICE_UNAVAILABLE,
    RedisError: HTTPStatus.SERVICE_UNAVAILABLE,
}
_RETRY_AFTER = {HTTPStatus.TOO_MANY_REQUESTS: b"5", HTTPStatus.SERVICE_UNAVAILABLE: b"5"}  # seconds


def status_of(error: ReactorHubError) -> HTTPStatus:
    """Return the HTTP status of an error."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def fields_of(error: ReactorHubError) -> list[dict[str, object]]:
    """Return the mistakes in an error, each with its field or its position in the file."""
    if isinstance(error, InvalidRequest):
        return [{"field": field, "message": message} for field, message in error.fields.items()]
    if isinstance(error, ConfigError):
        return [
            {
                "field": each.path,
                "message": each.message,
                "file": each.file,
                "line": each.line,
                "column": each.column,
            }
            for each in error.mistakes
        ]
    return []


def problem(
    request: IRequest, status: HTTPStatus, detail: str, errors: list[dict[str, object]] | None = None
) -> bytes:
    """Set the status and headers of an error response; return its body."""
    request.setResponseCode(status.value, status.phrase.encode())
    request.setHeader(b"content-type", b"application/problem+json")
    if status in _RETRY_AFTER:
        request.setHeader(b"retry-after", _RETRY_AFTER[status])
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return json.dumps(body).encode() + b"\n"

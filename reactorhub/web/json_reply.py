"""Answers with JSON."""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.iweb import IRequest

from reactorhub.model.values import json_of


def json_reply(request: IRequest, view: object, status: HTTPStatus = HTTPStatus.OK) -> bytes:
    """Set the status and the type of an answer, and return its body."""
    say_json(request, status)
    return json_of(view).encode() + b"\n"


def say_json(request: IRequest, status: HTTPStatus = HTTPStatus.OK) -> None:
    """Set the status of an answer, and say that its body is JSON."""
    request.setResponseCode(status.value, status.phrase.encode())
    request.setHeader(b"content-type", b"application/json")

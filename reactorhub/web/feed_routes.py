"""The routes of feeds: queues in Redis and their dead letters."""

from __future__ import annotations

from klein import Klein
from twisted.web.iweb import IRequest

from reactorhub.errors import InvalidRequest
from reactorhub.redis.feeds import Feeds
from reactorhub.web.disconnects import shielded
from reactorhub.web.json_reply import json_reply
from reactorhub.web.requests import Query, body_of
from reactorhub.wire.json_object import json_object

MAX_LETTERS = 200  # dead letters in one answer: an entry is shown with up to 10,000 bytes
MAX_IDS = 1_000


class FeedRoutes:
    """A part of the API. Whoever has these routes sets ``_feeds``."""

    app = Klein()
    _feeds: Feeds

    @app.route("/api/feeds", methods=["GET"])
    async def feeds(self, request: IRequest) -> bytes:
        """All feeds: how many entries wait, are in flight, and are dead letters."""
        return json_reply(request, {"feeds": await shielded(self._feeds.all()), "next_cursor": None})

    @app.route("/api/feeds/<key>/dead", methods=["GET"])
    async def dead_letters(self, request: IRequest, key: str) -> bytes:
        """The dead letters of a feed, newest first."""
        query = Query(request, ("limit", "cursor"))
        limit, cursor = query.whole("limit", 50, 1, MAX_LETTERS), query.one("cursor")
        query.conclude()
        letters, next_cursor = await shielded(self._feeds.dead(key, limit, cursor))
        return json_reply(request, {"dead": letters, "next_cursor": next_cursor})

    @app.route("/api/feeds/<key>/dead/requeue", methods=["POST"])
    async def requeue(self, request: IRequest, key: str) -> bytes:
        """Let dead letters be read again."""
        return json_reply(request, {"requeued": await shielded(self._feeds.requeue(key, _ids(request)))})

    @app.route("/api/feeds/<key>/dead/purge", methods=["POST"])
    async def purge(self, request: IRequest, key: str) -> bytes:
        """Delete dead letters."""
        return json_reply(request, {"purged": await shielded(self._feeds.purge(key, _ids(request)))})


def _ids(request: IRequest) -> list[str] | None:
    fields = json_object(body_of(request))
    ids: list[str] | None = fields.pop("ids", None)
    mistakes = dict.fromkeys(fields, "there is no such field; there are: ids")
    fits = isinstance(ids, list) and 1 <= len(ids) <= MAX_IDS and all(isinstance(each, str) for each in ids)
    if ids is not None and not fits:
        mistakes["ids"] = f"must be a list of 1 to {MAX_IDS:,} ids; leave it out for all dead letters"
    if mistakes:
        raise InvalidRequest(mistakes)
    return ids

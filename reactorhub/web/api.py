"""The JSON API: each route is one question or one order to the hub."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from reactorhub.errors import InvalidRequest, ReactorHubError
from reactorhub.forecast.upcoming import next_view
from reactorhub.hub.hub import Hub
from reactorhub.model.run import Run, RunState
from reactorhub.model.values import View, json_of, stats_view
from reactorhub.redis.feeds import Feeds
from reactorhub.storage.ledger import RunFilter
from reactorhub.web.disconnects import shielded
from reactorhub.web.feed_routes import FeedRoutes
from reactorhub.web.files import MAX_LINES, RunFiles, whole
from reactorhub.web.json_reply import json_reply as _json
from reactorhub.web.json_reply import say_json as _say_json
from reactorhub.web.problems import fields_of, problem, status_of
from reactorhub.web.requests import MAX_ROWS, Query, body_of, fields_in, order_of
from reactorhub.wire.batch_orders import read_batch_order
from reactorhub.wire.json_object import json_object
from reactorhub.wire.orders import encoded_moment, read_pause
from reactorhub.wire.views import tick_view

MAX_WAIT = 120.0  # seconds
_LIST = ("limit", "cursor")


class Api(FeedRoutes):
    """The routes of a hub."""

    app: Klein = FeedRoutes.app
    app.url_map.merge_slashes = False
    log = Logger()

    def __init__(
        self,
        hub: Hub,
        files: RunFiles,
        reload: Callable[[], Coroutine[Deferred[Any], Any, View]],
        feeds: Feeds,
    ) -> None:
        self._hub = hub
        self._feeds = feeds
        self._files = files
        self._reload = reload

    # -- the hub

    @app.route("/")
    @app.route("/api")
    def index(self, request: IRequest) -> bytes:
        """All paths."""
        routes = sorted({str(rule) for rule in self.app.url_map.iter_rules()})
        return _json(request, {"reactorhub": routes})

    @app.route("/healthz", methods=["GET"])
    def healthz(self, request: IRequest) -> bytes:
        """Answers while the reactor runs."""
        return _json(request, {"status": "ok"})

    @app.route("/api/status", methods=["GET"])
    async def status(self, request: IRequest) -> bytes:
        """The state of the hub."""
        return _json(request, await self._hub.status())

    @app.route("/api/spiders", methods=["GET"])
    async def spiders(self, request: IRequest) -> bytes:
        """The spiders with the findings of the doctor, and the modules that cannot be imported."""
        return _json(request, await self._hub.spiders())

    @app.route("/api/limits", methods=["GET"])
    def limits(self, request: IRequest) -> bytes:
        """The limits in force."""
        return _json(request, self._hub.limits_view())

    @app.route("/api/limits", methods=["PATCH"])
    async def set_limits(self, request: IRequest) -> bytes:
        """Change limits."""
        return _json(request, await shielded(self._hub.set_limits(json_object(body_of(request)))))

    @app.route("/api/notify/<channel>/test", methods=["POST"])
    async def try_channel(self, request: IRequest, channel: str) -> bytes:
        """Send a test message through a channel."""
        return _json(request, await shielded(self._hub.try_channel(channel)))

    @app.route("/api/reload", methods=["POST"])
    async def reload(self, request: IRequest) -> bytes:
        """Read the schedule file again."""
        return _json(request, await shielded(self._reload()))

    # -- schedules

    @app.route("/api/schedules", methods=["GET"])
    async def schedules(self, request: IRequest) -> bytes:
        """All schedules.

        A view takes time to make, and there may be 10,000: so the hub makes them in pieces, with turns of the
        reactor in between. Each view is encoded in its piece, too. One text of the whole list would
        block the reactor once all views are there.
        """
        rows = [json_of(view) async for view in self._hub.schedules()]
        _say_json(request)
        return f'{{"schedules": [{", ".join(rows)}], "next_cursor": null}}\n'.encode()

    @app.route("/api/schedules/<name>", methods=["GET"])
    async def schedule(self, request: IRequest, name: str) -> bytes:
        """One schedule."""
        return _json(request, await self._hub.schedule(name))

    @app.route("/api/schedules/<name>/next", methods=["GET"])
    def next(self, request: IRequest, name: str) -> bytes:
        """A preview of a schedule's next nominal times."""
        query = Query(request, ("n", "after"))
        count, after = query.whole("n", 10, 1, MAX_ROWS), query.read("after", encoded_moment)
        query.conclude()
        schedule, moments = self._hub.upcoming(name, after, count)
        zone = self._hub.config.timezone
        return _json(request, {"next": [next_view(schedule, moment, zone) for moment in moments]})

    @app.route("/api/schedules/<name>/ticks", methods=["GET"])
    async def ticks(self, request: IRequest, name: str) -> bytes:
        """The recorded ticks of a schedule, newest first."""
        query = Query(request, _LIST)
        limit, cursor = query.whole("limit", 50, 1, MAX_ROWS), query.one("cursor")
        query.conclude()
        page = await self._hub.ticks(name, limit, cursor)
        rows = [tick_view(tick) for tick in page.rows]
        return _json(request, {"ticks": rows, "next_cursor": page.next_cursor})

    @app.route("/api/schedules/<name>/trigger", methods=["POST"])
    async def trigger(self, request: IRequest, name: str) -> bytes:
        """Run a schedule's spider now."""
        return await self._created(request, self._hub.trigger(name))

    @app.route("/api/schedules/<name>/pause", methods=["POST"])
    async def pause(self, request: IRequest, name: str) -> bytes:
        """Skip a schedule's ticks until it is resumed."""
        return _json(request, await shielded(self._hub.pause(name, read_pause(fields_in(request)))))

    @app.route("/api/schedules/<name>/resume", methods=["POST"])
    async def resume(self, request: IRequest, name: str) -> bytes:
        """Let a schedule's ticks run again."""
        return _json(request, await shielded(self._hub.resume(name)))

    # -- runs

    @app.route("/api/runs", methods=["POST"])
    async def submit(self, request: IRequest) -> bytes:
        """Accept an order for a run."""
        return await self._created(request, self._hub.submit(order_of(request)))

    @app.route("/api/batches", methods=["POST"])
    async def submit_batch(self, request: IRequest) -> bytes:
        """Accept an order for many runs under one id."""
        order = read_batch_order(json_object(body_of(request)))
        batch = await shielded(self._hub.submit_batch(order))
        request.setHeader(b"location", f"/api/batches/{batch['id']}".encode())
        return _json(request, batch, HTTPStatus.CREATED)

    @app.route("/api/batches/<batch_id>", methods=["GET"])
    async def batch(self, request: IRequest, batch_id: str) -> bytes:
        """One batch: how many of its runs are in which state, and whether all are final."""
        return _json(request, await self._hub.batch(batch_id))

    @app.route("/api/runs", methods=["GET"])
    async def runs(self, request: IRequest) -> bytes:
        """Runs, newest first."""
        query = Query(
            request, ("state", "spider", "project", "schedule", "batch", "tag", "since", "until", *_LIST)
        )
        which = RunFilter(
            states=frozenset(query.every("state", _states)),
            spider=query.one("spider"),
            project=query.one("project"),
            schedule=query.one("schedule"),
            batch=query.one("batch"),
            tag=query.one("tag"),
            since=query.read("since", encoded_moment),
            until=query.read("until", encoded_moment),
        )
        limit = query.whole("limit", 50, 1, MAX_ROWS)
        query.conclude()
        page = await self._hub.runs(which, limit, query.one("cursor"))
        rows = [self._hub.live_view(run) for run in page.rows]
        return _json(request, {"runs": rows, "next_cursor": page.next_cursor})

    @app.route("/api/runs/<run_id>", methods=["GET"])
    async def run(self, request: IRequest, run_id: str) -> bytes:
        """One run; with ``wait``, once it is final or the seconds are over."""
        query = Query(request, ("wait",))
        wait = query.number("wait", 0.0, 0.0, MAX_WAIT)
        query.conclude()
        return _json(request, self._hub.live_view(await self._hub.run(run_id, wait)))

    @app.route("/api/runs/<run_id>/cancel", methods=["POST"])
    async def cancel(self, request: IRequest, run_id: str) -> bytes:
        """Cancel a run."""
        fields = fields_in(request)
        force = fields.pop("force", False)
        if fields or force not in (True, False, "true", "false"):
            raise InvalidRequest({"body": "may only contain force, which is true or false"})
        run = await shielded(self._hub.cancel(run_id, force in (True, "true")))
        return _json(request, self._hub.live_view(run))

    @app.route("/api/runs/<run_id>/rerun", methods=["POST"])
    async def rerun(self, request: IRequest, run_id: str) -> bytes:
        """Start a new run with the same inputs."""
        return await self._created(request, self._hub.rerun(run_id))

    @app.route("/api/runs/<run_id>/stats", methods=["GET"])
    async def stats(self, request: IRequest, run_id: str) -> bytes:
        """A run's stats."""
        run = await self._hub.run(run_id)
        return _json(request, stats_view(self._hub.live_view(run)["stats"]))

    @app.route("/api/runs/<run_id>/log", methods=["GET"])
    async def run_log(self, request: IRequest, run_id: str) -> Any:
        """A run's log, or its last lines."""
        query = Query(request, ("tail",))
        tail = query.whole("tail", 0, 1, MAX_LINES)
        query.conclude()
        path = self._files.log(await self._hub.run(run_id))
        if not tail:
            return whole(request, path, "text/plain; charset=utf-8")
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return await self._files.tail(path, tail)

    @app.route("/api/runs/<run_id>/items", methods=["GET"])
    async def items(self, request: IRequest, run_id: str) -> Any:
        """A run's items as JSON Lines, or some of them."""
        query = Query(request, ("offset", "limit"))
        offset, limit = query.whole("offset", 0, 0, 10**12), query.whole("limit", 0, 1, MAX_LINES)
        query.conclude()
        path = self._files.items(await self._hub.run(run_id))
        if not limit and not offset:
            return whole(request, path, "application/jsonl")
        request.setHeader(b"content-type", b"application/jsonl")
        return await self._files.part(path, offset, limit or MAX_LINES)

    # -- mistakes

    @app.handle_errors(ReactorHubError)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """An error that the hub raised on purpose."""
        error = failure.value
        assert isinstance(error, ReactorHubError)
        return problem(request, status_of(error), str(error), fields_of(error))

    @app.handle_errors(HTTPException)
    def no_route(self, request: IRequest, failure: Failure) -> bytes:
        """There is no such path, or it does not allow this method."""
        error = failure.value
        assert isinstance(error, HTTPException)
        detail = "there is nothing at this path; GET /api lists all paths"
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            allowed = ", ".join(sorted(error.valid_methods))
            request.setHeader(b"allow", allowed.encode())
            detail = f"this path takes {allowed} only"
        return problem(request, HTTPStatus(error.code or 500), detail)

    @app.handle_errors(Exception)
    def broken(self, request: IRequest, failure: Failure) -> bytes:
        """A bug in the hub."""
        self.log.failure("{method} {path} failed", failure, method=request.method, path=request.path)
        detail = "this is a bug in the hub; its log has the traceback"
        return problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, detail)

    async def _created(self, request: IRequest, order: Coroutine[Deferred[Any], Any, Run]) -> bytes:
        run = await shielded(order)
        request.setHeader(b"location", f"/api/runs/{run.id}".encode())
        return _json(request, self._hub.live_view(run), HTTPStatus.CREATED)


def _states(text: str) -> list[RunState]:
    try:
        return [RunState(each) for each in text.split(",")]
    except ValueError:
        known = ", ".join(state.value for state in RunState)
        raise ValueError(f"{text!r} is not a state; there are: {known}") from None

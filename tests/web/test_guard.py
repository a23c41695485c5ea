"""What stands before every route, byte by byte: Host, Origin, body sizes, connections, endpoints."""

from __future__ import annotations

import pytest

from reactorhub.config.endpoints import is_loopback, loopback_endpoint
from reactorhub.errors import StartError
from reactorhub.web.guard import IDLE, MAX_BODY, MAX_CONNECTIONS, MAX_READ
from tests.support.web_client import Web

ORDER = b'{"spider": "prices"}'


@pytest.mark.parametrize(
    ("description", "bound"),
    [
        ("tcp:6800", "tcp:6800:interface=127.0.0.1"),
        ("tcp:0", "tcp:0:interface=127.0.0.1"),
        ("tcp:port=6800", "tcp:port=6800:interface=127.0.0.1"),
        ("tcp:6800:backlog=9", "tcp:6800:backlog=9:interface=127.0.0.1"),
        ("tcp:6800:interface=127.0.0.1", None),
        ("tcp:6800:interface=127.9.9.9", None),
        ("tcp:6800:interface=localhost", None),
        ("tcp:6800:127.0.0.1", None),
        (r"tcp:6800:interface=\:\:1", None),
        (r"tcp:interface=\:\:1:port=6800", None),
        ("unix:/run/hub.sock", "unix:/run/hub.sock:mode=600"),
        ("unix:/run/hub.sock:mode=660", None),
        ("unix:/run/hub.sock:660", None),
        (r"unix:/run/a\:b.sock", r"unix:/run/a\:b.sock:mode=600"),
        ("unix:address=/run/mode=1/hub.sock", "unix:address=/run/mode=1/hub.sock:mode=600"),
    ],
)
def test_endpoints_on_this_machine(description: str, bound: str | None) -> None:
    """An endpoint without an interface is put on loopback; one that is there already stays as it is."""
    assert loopback_endpoint(description) == (bound or description)


@pytest.mark.parametrize(
    "description",
    [
        "tcp:6800:interface=0.0.0.0",
        "tcp:6800:interface=192.168.1.7",
        r"tcp:6800:interface=\:\:",
        r"tcp:6800:interface=fe80\:\:1",
        "tcp:6800:interface=",
        "tcp:6800:interface=example.com",
        "tcp:6800:interface=127.0.0.1.example.com",
        "tcp:interface=0.0.0.0:port=6800",
        "tcp:6800:0.0.0.0",
        "tcp:6800:127.0.0.1:interface=0.0.0.0",
        "tcp:interface=127.0.0.1",
        "unix:",
        "unix:address=",
        "tcp:6800:interface=127.0.0.1:interface=0.0.0.0",
        "tcp:6800:backlog=9:interface=0.0.0.0",
        r"tcp:6800:inter\face=0.0.0.0",
        "tcp:",
        "tcp",
        "",
        "ssl:6800",
        "systemd:domain=INET:index=0",
        "fd:3",
    ],
)
def test_endpoints_beyond_this_machine_are_refused(description: str) -> None:
    """Whatever would let other machines in, or cannot be told, keeps the hub from starting."""
    with pytest.raises(StartError, match=r"127\.0\.0\.1|not an endpoint for the hub"):
        loopback_endpoint(description)


@pytest.mark.parametrize("name", ["localhost", "LocalHost.", "127.0.0.1", "127.1.2.3", "[::1]", "::1"])
def test_loopback_names(name: str) -> None:
    """Names and addresses that mean this machine."""
    assert is_loopback(name)


@pytest.mark.parametrize("host", ["localhost", "localhost:6800", "127.0.0.1:1", "[::1]:6800", "LOCALHOST"])
def test_hosts_that_are_served(host: str) -> None:
    """Loopback names are served, with and without a port."""
    assert Web().get("/healthz", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "localhost.example.com",
        "localhost@example.com",
        "127.0.0.1.example.com:6800",
        "192.168.1.7",
        "0.0.0.0",
        "2130706433",
        "[::2]",
        "::1",
        "[localhost",
        "localhost:x",
        "localhost:6800:1",
    ],
)
def test_foreign_hosts_are_misdirected(host: str) -> None:
    """A name that means another machine, as a rebound DNS name does, is refused before any route sees it."""
    for path in ("/healthz", "/api/status", "/nowhere"):
        reply = Web().get(path, Host=host)
        assert (reply.status, reply.headers["connection"]) == (421, "close")


@pytest.mark.parametrize("host", [None, ""])
def test_no_host_is_a_bad_request(host: str | None) -> None:
    """A request has to say whom it is for."""
    assert Web().ask("GET", "/healthz", headers={"Host": host}).status == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Origin": "http://localhost:6800"}, 201),
        ({"Origin": "http://127.0.0.1:3000"}, 201),
        ({"Origin": "http://[::1]:3000"}, 201),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-site"}, 201),
        ({"Origin": "https://example.com"}, 403),
        ({"Origin": "http://localhost.example.com"}, 403),
        ({"Origin": "http://localhost@example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "file://"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_orders_from_foreign_pages_are_refused(headers: dict[str, str], status: int) -> None:
    """An order that a page of another site made a browser send changes nothing; one's own may."""
    web = Web()
    assert web.ask("POST", "/api/runs", ORDER, headers).status == status
    assert web.harness.events() == (["run.queued"] if status == 201 else [])
    if status == 403:
        assert web.ask("PATCH", "/api/limits", b'{"max_concurrent_runs": 9}', headers).status == 403
        assert web.ask("GET", "/api/status", headers=headers).status == 200


def test_no_page_may_read_answers() -> None:
    """No header lets other origins read, and none lets a browser guess types."""
    reply = Web().get("/api/status", Origin="https://example.com")
    assert not any(name.startswith("access-control") for name in reply.headers)
    assert reply.headers["x-content-type-options"] == "nosniff"


def order_of(length: int) -> bytes:
    """An order of exactly so many bytes."""
    return ORDER + b" " * (length - len(ORDER))


def chunked(body: bytes, size: int = 8192) -> bytes:
    """A body in the chunks of RFC 9112."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(("length", "status"), [(MAX_BODY, 201), (MAX_BODY + 1, 413)])
def test_bodies_have_a_limit(length: int, status: int) -> None:
    """A body of up to 64 KiB is read, announced or chunked; one byte more is refused and starts nothing."""
    web = Web()
    assert web.ask("POST", "/api/runs", order_of(length)).status == status
    connection = web.connect()
    connection.ask("POST", "/api/runs", headers={"Transfer-Encoding": "chunked"})
    connection.send(chunked(order_of(length)))
    assert [reply.status for reply in connection.replies()] == [status]
    assert len(web.harness.events()) == (2 if status == 201 else 0)
    assert connection.transport.disconnecting is (status == 413)


@pytest.mark.parametrize("headers", [{"Transfer-Encoding": "chunked"}, {"Content-Length": str(10**9)}])
def test_a_body_without_end_is_cut_off(headers: dict[str, str]) -> None:
    """A sender that goes on and on is told so once and dropped; nothing of its body is kept."""
    web = Web()
    connection = web.connect()
    connection.ask("POST", "/api/runs", headers=headers)
    for _ in range(2 * MAX_READ // MAX_BODY):
        connection.send(b"%x\r\n%s\r\n" % (MAX_BODY, b"x" * MAX_BODY))
    assert [(reply.status, reply.headers["connection"]) for reply in connection.replies()] == [(413, "close")]
    assert connection.transport.disconnecting


def test_a_refused_body_is_not_read_as_further_requests() -> None:
    """What follows a refusal on its connection is not served, however much it looks like a request."""
    web = Web()
    connection = web.connect()
    connection.ask("POST", "/api/runs", ORDER, {"Origin": "https://example.com"})
    connection.ask("POST", "/api/runs", ORDER)
    assert [reply.status for reply in connection.replies()] == [403]
    assert web.harness.events() == []


def test_connections_are_kept() -> None:
    """Requests follow each other over one connection, at once or byte by byte, also after a mistake."""
    connection = Web().connect()
    connection.ask("GET", "/healthz")
    connection.ask("GET", "/nowhere")
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2:
        connection.send(bytes([byte]))
    assert [reply.status for reply in connection.replies()] == [200, 404, 200, 200]
    assert not connection.transport.disconnecting


def test_old_clients_are_served_once() -> None:
    """HTTP/1.0 gets its answer and a closed connection."""
    connection = Web().connect()
    connection.send(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert [reply.status for reply in connection.replies()] == [200]
    assert connection.transport.disconnecting


def test_a_path_that_is_no_text_is_a_bad_request() -> None:
    """A path has to be UTF-8."""
    reply = Web().get("/api/schedules/%ff")
    assert (reply.status, reply.json["title"]) == (400, "Bad Request")


def test_silent_connections_are_closed() -> None:
    """A connection on which nothing happens for a minute is closed, and leaves no timer."""
    web = Web()
    connection = web.connect()
    web.harness.clock.advance(IDLE - 1)
    assert not connection.transport.disconnecting
    web.harness.clock.advance(1)
    assert connection.transport.disconnecting
    connection.leave()
    assert web.harness.clock.getDelayedCalls() == []


def test_too_many_connections_are_dropped() -> None:
    """Beyond 500 connections new ones are dropped; when one leaves, there is room again."""
    web = Web()
    connections = [web.connect() for _ in range(MAX_CONNECTIONS)]
    assert web.site.buildProtocol(None) is None
    connections.pop().leave()
    assert web.get("/healthz").status == 200
    for connection in connections:
        connection.leave()
    assert web.harness.clock.getDelayedCalls() == []

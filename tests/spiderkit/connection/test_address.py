"""Redis URLs, read and shown."""

from __future__ import annotations

import pytest

from reactorhub.spiderkit.connection.address import RedisAddress, address_of

URLS = [
    ("redis://127.0.0.1", RedisAddress()),
    ("redis://localhost:7000/3", RedisAddress(host="localhost", port=7000, db=3)),
    ("redis://localhost?db=4", RedisAddress(host="localhost", db=4)),
    ("redis://[::1]:7000/", RedisAddress(host="::1", port=7000)),
    ("redis://:s%2Fcret@h/1", RedisAddress(host="h", db=1, password="s/cret")),
    ("redis://me:p%40ss@h", RedisAddress(host="h", username="me", password="p@ss")),
    ("rediss://me:pw@h:6380/0", RedisAddress(host="h", port=6380, tls=True, username="me", password="pw")),
    ("rediss://h?ssl_ca_certs=/a/ca.pem", RedisAddress(host="h", tls=True, ca_file="/a/ca.pem")),
    ("rediss://h?ssl_cert_reqs=required", RedisAddress(host="h", tls=True)),
    ("unix:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
    ("unix:///a%20b/redis.sock?db=2", RedisAddress(path="/a b/redis.sock", db=2)),
    ("redis+unix:///r.sock?db=1&password=pw", RedisAddress(path="/r.sock", db=1, password="pw")),
]
BAD_URLS = [
    ("", "begins with"),
    ("localhost:6379", "begins with"),
    ("http://:topsecret@localhost", "begins with"),
    ("redis://", "has no host"),
    ("redis://:topsecret@", "has no host"),
    ("redis://:topsecret@h:port", "not a valid URL"),
    ("redis://:topsecret@h:99999", "not a valid URL"),
    ("redis://:topsecret@h/shop", "database"),
    ("redis://h?db=-1", "database"),
    ("rediss://:topsecret@h?ssl_cert_reqs=none", "always verified"),
    ("unix://relative.sock", "absolute path"),
    ("unix:///", "absolute path"),
]


@pytest.mark.parametrize(("url", "address"), URLS)
def test_url(url: str, address: RedisAddress) -> None:
    """Every form of URL gives the server's place, database and login, percent-decoded."""
    assert address_of(url) == address


@pytest.mark.parametrize(("url", "complaint"), BAD_URLS)
def test_bad_url(url: str, complaint: str) -> None:
    """A URL that cannot be used is refused with a sentence that never holds its password."""
    with pytest.raises(ValueError, match=complaint) as caught:
        address_of(url)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(("url", "address"), URLS)
def test_address_text(url: str, address: RedisAddress) -> None:
    """An address shows where the server is; its text leads there again, and no password is in it."""
    shown = address_of(str(address))
    assert (shown.host, shown.port, shown.path, shown.db, shown.tls) == (
        *(address.host, address.port, address.path, address.db, address.tls),
    )
    for text in (str(address), repr(address)):
        assert address.password is None or address.password not in text

"""The Redis URL of the schedule file."""

from __future__ import annotations

import pytest

from reactorhub.errors import StartError
from reactorhub.redis.address import redis_url_parts


def test_url() -> None:
    """A good URL is read as the client reads it; a bad one is a mistake in the file."""
    assert redis_url_parts("redis://localhost:7000/3").db == 3
    with pytest.raises(StartError, match="begins with redis://"):
        redis_url_parts("http://localhost")

"""Publishing to Redis: the only room that imports txredisapi."""

from reactorhub.adapters.redis_sink.sink import RedisSink
from reactorhub.adapters.redis_sink.text import redis_url_parts

__all__ = ["RedisSink", "redis_url_parts"]

"""Publishing to Redis: the only room that imports txredisapi."""

from reactorhub.adapters.redis_sink.sink import RedisSink

__all__ = ["RedisSink"]

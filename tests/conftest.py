"""The reactor that everything under test runs on: the hub's own, before anything can import another one."""

from reactorhub import reactors

reactors.install()

from twisted.internet import reactor  # noqa: E402 - it exists from here on

reactors.prepare(reactor)

"""The reactor that everything under test runs on: the hub's own, before anything can import another one."""

from hypothesis import settings

from reactorhub import reactors

reactors.install()

from twisted.internet import reactor  # noqa: E402 - it exists from here on

reactors.prepare(reactor)

# Machines are shared, and a slow moment is no mistake.
settings.register_profile("reactorhub", deadline=None)
settings.load_profile("reactorhub")

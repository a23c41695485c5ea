"""The reactor that everything under test runs on: the hub's own, before anything can import another one."""

import os

from hypothesis import settings

from reactorhub.daemon import reactor as reactors

reactors.install()

from twisted.internet import reactor  # noqa: E402 - it exists from here on

reactors.prepare(reactor, leave=lambda: None)  # trial ends the loop after each test

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "reactorhub")
SOAKING = PROFILE == "soak"
"""Whether the same tests look for longer than anybody would wait for."""

# Machines are shared, and a slow moment is no mistake.
settings.register_profile("reactorhub", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=1000)
settings.load_profile(PROFILE)

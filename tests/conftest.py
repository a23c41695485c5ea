"""The reactor that everything under test runs on, installed before anything can import another one."""

import asyncio

from twisted.internet import asyncioreactor

_loop = asyncio.new_event_loop()
asyncio.set_event_loop(_loop)
asyncioreactor.install(_loop)

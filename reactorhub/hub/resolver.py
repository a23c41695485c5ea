"""Checks that the spiders and queues of an order exist, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reactorhub.engine.projects import ProjectConfig
from reactorhub.engine.protocols import Engine
from reactorhub.errors import InvalidRequest, UnknownSpider
from reactorhub.model.isolation import NO_WISH, IsolationWish
from reactorhub.model.run import RunSpec
from reactorhub.policies.isolation import isolation_mistakes, isolation_of
from reactorhub.policies.limits import Limits
from reactorhub.wire.batch_orders import BatchOrder
from reactorhub.wire.orders import Order


class SpecResolver:
    """Resolves orders to the specs of runs, with the isolation that their projects ask for."""

    def __init__(
        self,
        engine: Engine,
        limits: Callable[[], Limits],
        projects: Callable[[], Mapping[str, ProjectConfig]] = dict,
    ) -> None:
        """
        :param limits: returns the limits in force.
        :param projects: returns the projects in force.
        """
        self._engine = engine
        self._limits = limits
        self._projects = projects

    def spec(self, order: Order) -> RunSpec:
        """Return the spec of an order's run.

        :raises UnknownSpider: if no project has the spider, or several do and none was named.
        :raises InvalidRequest: if the queue, or both the queue and the spider, do not exist; or if the run
            cannot have the isolation it asks for.
        """
        mistakes, queues = {}, self._limits().queues
        if order.queue not in queues:
            mistakes["queue"] = f"there is no queue {order.queue!r}; there are: {', '.join(queues)}"
        try:
            project = self._engine.resolve(order.spider, order.project)
        except UnknownSpider as error:
            if not mistakes:
                raise
            raise InvalidRequest({"spider": str(error), **mistakes}) from None
        wish = IsolationWish(isolate=order.isolate, memory_limit=order.memory_limit)
        config = self._projects().get(project)
        chosen = isolation_of(wish, config.isolation if config else NO_WISH)
        mistakes.update(isolation_mistakes(wish, chosen, config.python if config else None))
        if mistakes:
            raise InvalidRequest(mistakes)
        return order.spec(project, chosen)

    def specs(self, order: BatchOrder) -> tuple[list[RunSpec], RunSpec | None]:
        """Return the specs of a batch's runs, and the spec of its completion run, if it has one.

        :raises InvalidRequest: naming every order with an unknown spider or queue.
        """
        fields = {f"runs[{number}]": each for number, each in enumerate(order.runs)}
        if order.completion is not None:
            fields["on_complete.run"] = order.completion
        specs: dict[str, RunSpec] = {}
        mistakes: dict[str, str] = {}
        for field, each in fields.items():
            try:
                specs[field] = self.spec(each)
            except UnknownSpider as error:
                mistakes[f"{field}.spider"] = str(error)
            except InvalidRequest as error:
                mistakes.update({f"{field}.{name}": message for name, message in error.fields.items()})
        if mistakes:
            raise InvalidRequest(mistakes)
        completion = specs.pop("on_complete.run", None)
        return list(specs.values()), completion

"""An oracle that says of each tick what is to become of it: it walks through time second by second.

It knows the hub's promises and none of its code. Times are whole microseconds: ``mono`` since the beginning,
``wall`` since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.oracle.oracle_orders import OrdersOnPaper
from tests.oracle.oracle_rules import SECOND, Rule
from tests.oracle.oracle_runs import DAY, Mark, Sim

ROWS = 1000


@dataclass(slots=True)
class Account:
    """How far a schedule is accounted for, and which of its ticks have come but not started yet."""

    rule: Rule
    since: int
    reach: int
    failing: bool = False
    clear: int = 0  # no second up to this one is a tick that is still to be accounted for


class Oracle(OrdersOnPaper):
    """Foretells the ledger's rows: of each schedule and nominal time the outcome, and the end of a range."""

    def __init__(self, rules: Iterable[Rule], wall: int) -> None:
        super().__init__(wall)
        self._accounts: dict[str, Account] = {}
        self._read(rules)
        self._run_on_start()
        self._settle()
        self._begin()
        self._settle()

    # -- what happens to the hub

    def pass_second(self) -> None:
        """A second goes by."""
        self._live_until(self.mono + SECOND)

    def step(self, by: int) -> None:
        """A second goes by, and just before the hub wakes at its end the wall clock is stepped."""
        end = self.mono + SECOND
        while (event := self._next_event(end)) is not None:
            self._meet(event)
        self.mono = end
        self._ahead += by
        self._turn_back()
        self._live_until(end)

    def _live_until(self, end: int) -> None:
        while (event := self._next_event(end)) is not None:
            self._meet(event)
        self.mono = end
        for account in self._accounts.values():
            self._judge(account)
        self._settle()

    def _meet(self, event: tuple[int, Sim | Account]) -> None:
        when, what = event
        self.mono = max(self.mono, when)
        if isinstance(what, Sim):
            self._happen(what)
        else:
            self._judge(what)

    def _turn_back(self) -> None:
        for name, account in self._accounts.items():
            if account.reach - self.wall > DAY:
                since = min(account.since, self.wall)
                self._accounts[name] = Account(account.rule, since, self.wall)

    def reload(self, rules: Iterable[Rule]) -> None:
        """Another file comes into force."""
        former = self._accounts
        self._read(rules)
        self._accounts = {}
        for name, rule in self.rules.items():
            if not rule.timed:
                continue
            known = former.get(name)
            if known is None or known.rule.identity != rule.identity:
                self._accounts[name] = Account(rule, self.wall, self.wall)
                continue
            rejittered = known.rule.jitter != rule.jitter
            known.rule = rule
            self._accounts[name] = known
            if rejittered:
                self._judge(known, new=True)
        self._settle()

    def killed(self, seconds: int, rules: Iterable[Rule]) -> None:
        """The hub dies, and comes back later, with another file perhaps."""
        died = [run for run in self.runs if run.started]
        waiting = [run for run in self.runs if not run.started and run.state != "announced"]
        for run in self.runs:
            if run.state == "announced":
                self._count(run.name, -1)
        self.mono += seconds * SECOND
        self.broken = False
        self.runs, self._going, self._line = waiting, {}, {}
        self._read(rules)
        # Those that are tried again come first, since they count before any others follow.
        self._interrupt(sorted(died, key=lambda run: run.attempt > run.rule.retries))
        self._pause_those_that_fail()
        self._adopt()
        self._run_on_start()
        self._settle()
        self._begin()
        self._settle()

    def stopped(self, seconds: int, rules: Iterable[Rule]) -> None:
        """The hub is told to end at once, and comes back later, with another file perhaps."""
        self._interrupt([run for run in self.runs if run.state == "going"])
        self.killed(seconds, rules)

    def _interrupt(self, runs: Iterable[Sim]) -> None:
        """End these runs with their process."""
        for run in runs:
            self._end(run, "interrupted")
            self._keep(run)
            self.runs = [each for each in self.runs if each is not run]

    # -- schedules

    def _read(self, rules: Iterable[Rule]) -> None:
        self.rules = {rule.name: rule for rule in rules}
        every: dict[str, Mark] = {}
        for name, rule in self.rules.items():
            progress = self.progress.get(name)
            identity = (*rule.identity, rule.runs)
            if progress is None:
                progress = Mark(identity, self.wall)
            elif progress.identity != identity:
                progress = Mark(identity, self.wall, 0, progress.paused, progress.resumed)
            every[name] = progress
        self.progress = every

    def _begin(self) -> None:
        self._accounts = {}
        for name, rule in self.rules.items():
            if rule.timed:
                since = self.progress[name].since
                since = self.wall if since - self.wall > DAY else since
                self._accounts[name] = Account(rule, since, since)
                self._judge(self._accounts[name], new=True)

    def _start_of_next(self, account: Account) -> int | None:
        """When a tick starts that has come already, or comes within this second."""
        for second in range(self._first(account), (self.wall + SECOND) // SECOND + 1):
            if account.rule.ticks(second):
                return account.rule.starts(second)
        return None

    def _first(self, account: Account) -> int:
        return max(account.since // SECOND, account.clear) + 1

    def _judge(self, account: Account, new: bool = False) -> None:
        """Account for all that is due by now."""
        rule, now = account.rule, self.wall
        due = rule.ticks_between(self._first(account), now // SECOND)
        clear = now // SECOND
        if due and rule.starts(due[-1]) > now:
            clear = due.pop() - 1
        if due or account.failing or new:
            account.reach = max(account.since, now)
        if due and self.broken:
            account.failing = True
            return
        account.clear = max(account.clear, clear)
        if not due:
            account.failing = False
            return
        account.failing = False
        kept = self._in_time(rule, due, now)
        missed = [second for second in due if not kept or second < kept[0]]
        self._miss(rule.name, missed)
        account.since = max(account.since, due[-1] * SECOND)
        for second in kept:
            self._tick(rule, second * SECOND)

    def _in_time(self, rule: Rule, due: list[int], now: int) -> list[int]:
        window = 10 if rule.catchup == "skip" else max(rule.window, 10)
        oldest = now - (window + rule.jitter + 1) * SECOND
        late = [second for second in due if second * SECOND >= oldest]
        in_time = [second for second in late if rule.starts(second) >= now - window * SECOND]
        return in_time[-1:] if rule.catchup == "latest" else in_time[-rule.most :]

    def _miss(self, name: str, seconds: list[int]) -> None:
        if self._over(name):
            for second in seconds:
                self._reach(name, second * SECOND)
            return
        for second in seconds[:ROWS]:
            self._record(name, second * SECOND, "missed")
        if len(seconds) > ROWS:
            self._record(name, seconds[ROWS] * SECOND, "missed", seconds[-1] * SECOND)

    # -- time

    def _events(self) -> list[tuple[int, Sim | Account]]:
        found: list[tuple[int, Sim | Account]] = [
            (run.when, run) for run in self.runs if run.when is not None
        ]
        for account in self._accounts.values():
            start = None if account.failing else self._start_of_next(account)
            found += [] if start is None else [(start - self._ahead, account)]
        return found

    def _next_event(self, end: int) -> tuple[int, Sim | Account] | None:
        """The next one before the second is over."""
        coming = [event for event in self._events() if event[0] < end]
        return min(coming, key=lambda event: event[0], default=None)

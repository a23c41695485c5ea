"""What people do to a hub, as the oracle has it: runs by hand, cancels, pauses; and what pauses by itself."""

from __future__ import annotations

from tests.oracle.oracle_rules import Rule
from tests.oracle.oracle_runs import RunKey, RunsOnPaper, Sim

FAILED = ("failed", "timed_out")


class OrdersOnPaper(RunsOnPaper):
    """Runs of which some were ordered by hand, and schedules that are paused by somebody or for failures."""

    def __init__(self, wall: int) -> None:
        super().__init__(wall)
        self._ordered = 0

    def trigger(self, name: str) -> None:
        """Somebody starts a schedule by hand."""
        self._by_hand(self.rules[name])
        self._settle()

    def cancel(self, which: RunKey) -> None:
        """Somebody cancels a run that is on disk and not over there."""
        self._cancel(self._kept[which])
        self._settle()

    @property
    def unfinished(self) -> list[RunKey]:
        """The runs that are on disk and not over there."""
        return [key for key, run in self._kept.items() if not run.written]

    def pause(self, name: str, paused: bool) -> None:
        """An operator pauses or resumes a schedule."""
        self.progress[name].paused = paused
        if not paused:
            self.progress[name].resumed = self.wall

    @property
    def paused(self) -> set[str]:
        """The schedules that are paused."""
        return {name for name, progress in self.progress.items() if progress.paused}

    def _by_hand(self, rule: Rule) -> None:
        self._ordered += 1
        run = Sim(rule.name, -self._ordered, rule, made=self.wall)
        self.runs.append(run)
        self._keep_run(run)
        self._take(run, None)

    def _run_on_start(self) -> None:
        for rule in self.rules.values():
            busy = any(run.name == rule.name for run in self.runs)
            silent = self._over(rule.name) or self.progress[rule.name].paused or not rule.enabled
            if rule.on_start and not busy and not silent:
                self._by_hand(rule)

    def _over_for_good(self, run: Sim) -> None:
        if run.written in FAILED and not run.again:
            self._pause_if_failing(run.name)

    def _pause_those_that_fail(self) -> None:
        """As at a start, of all schedules."""
        for name in self.rules:
            self._pause_if_failing(name)

    def _pause_if_failing(self, name: str) -> None:
        rule = self.rules.get(name)
        if rule is not None and rule.failures is not None and self._failures(name) >= rule.failures:
            self.progress[name].paused = True

    def _failures(self, name: str) -> int:
        """How many runs in a row have failed, the newest first, by when their first attempts were made."""
        count, since = 0, self.progress[name].resumed
        first = [run for run in self._kept.values() if run.name == name and run.first]
        for run in reversed(first):
            for attempt in reversed([each for each in self._kept.values() if self._same(each, run)]):
                if since is not None and attempt.finished <= since:
                    continue
                if attempt.written == "succeeded":
                    return count
                count += attempt.written in FAILED and not attempt.again
        return count

    @staticmethod
    def _same(one: Sim, other: Sim) -> bool:
        return (one.name, one.nominal) == (other.name, other.nominal)

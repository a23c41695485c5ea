"""What becomes of runs, as the oracle has it: turns, overlaps, attempts, chains, and a ledger that fails.

Times are whole microseconds: ``mono`` since the beginning, ``wall`` since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.oracle.oracle_rules import RETRY_DELAY, SECOND, Rule, fate

TRY_AGAIN, NAP = 5 * SECOND, 60 * SECOND
DAY = 86_400 * SECOND
WAITING = ("buffer_one", "buffer_all", "cancel_other")
TRIED_AGAIN = ("failed", "timed_out", "interrupted")

Row = tuple[str, int | None]
Key = tuple[str, int]
RunKey = tuple[str, int, int]  # of which schedule, for which nominal time, and which attempt


@dataclass(eq=False, slots=True)
class Sim:
    """A run. ``state`` is announced, queued, going or ending; ``then`` what happens to it at ``when``.

    ``nominal`` is -1, -2 and so on for runs by hand, in the order in which they were ordered. ``recalled`` is
    one that was to be cancelled when it had ended already.
    """

    name: str
    nominal: int
    rule: Rule
    attempt: int = 1
    not_before: int = 0
    state: str = "queued"
    then: str = ""
    when: int | None = None
    final: str = ""
    follow_up: list[tuple[str, Sim | str]] = field(default_factory=list)
    made: int = 0
    longest: int = 0
    finished: int = 0
    written: str = ""
    started: bool = False
    recalled: bool = False
    again: bool = False

    @property
    def by_hand(self) -> bool:
        """Whether no tick has brought it about."""
        return self.nominal < 0

    @property
    def first(self) -> bool:
        """Whether it is a first attempt."""
        return self.attempt == 1


@dataclass(slots=True)
class Mark:
    """What the ledger remembers of a schedule."""

    identity: tuple[object, ...]
    since: int
    runs: int = 0
    paused: bool = False
    resumed: int | None = None


class RunsOnPaper:
    """The runs of a hub, the rows of its ledger and what it remembers of its schedules."""

    def __init__(self, wall: int) -> None:
        self.mono, self._ahead, self.broken = 0, wall, False
        self.rows: dict[Key, Row] = {}
        self.runs: list[Sim] = []
        self._kept: dict[RunKey, Sim] = {}
        self.rules: dict[str, Rule] = {}
        self.progress: dict[str, Mark] = {}
        self._going: dict[str, set[Sim]] = {}
        self._line: dict[str, list[tuple[Sim, int]]] = {}

    @property
    def wall(self) -> int:
        """The wall clock."""
        return self.mono + self._ahead

    @property
    def calm(self) -> bool:
        """Whether nothing waits to be written down."""
        return all(run.state in ("queued", "going") for run in self.runs)

    @property
    def history(self) -> dict[RunKey, tuple[int, str]]:
        """When each run on disk was made, by schedule, nominal time and attempt, and how it stands."""
        return {key: (run.made, self._stands(run)) for key, run in self._kept.items()}

    @staticmethod
    def _stands(run: Sim) -> str:
        return run.written or ("going" if run.started else "queued")

    def _keep_run(self, run: Sim) -> None:
        self._kept[run.name, run.nominal, run.attempt] = run

    def _record(self, name: str, nominal: int, outcome: str, until: int | None = None) -> bool:
        found = self.rows.get((name, nominal))
        if found is not None and (found != ("missed", None) or outcome == "missed"):
            self._reach(name, nominal)
            return False
        self.rows[name, nominal] = (outcome, until)
        self._reach(name, until or nominal)
        return True

    def _reach(self, name: str, moment: int) -> None:
        progress = self.progress.get(name)
        if progress is not None:
            progress.since = moment if progress.since - self.wall > DAY else max(progress.since, moment)

    def _over(self, name: str) -> bool:
        rule, progress = self.rules.get(name), self.progress.get(name)
        return (
            rule is not None and progress is not None and rule.runs is not None and progress.runs >= rule.runs
        )

    def _count(self, name: str, by: int) -> None:
        if name in self.progress:
            self.progress[name].runs += by

    def _refused(self, rule: Rule) -> bool:
        unfinished = [run for run in self.runs if run.name == rule.name]
        if self.progress[rule.name].paused:
            return True
        if rule.at_once is None or len(unfinished) < rule.at_once:
            return False
        if rule.overlap == "buffer_one":
            return any(run.state in ("queued", "announced") and run.first for run in unfinished)
        return rule.overlap not in ("buffer_all", "cancel_other")

    def _tick(self, rule: Rule, nominal: int) -> None:
        if self._over(rule.name):
            self._reach(rule.name, nominal)
        elif self._refused(rule):
            self._record(rule.name, nominal, "skipped")
        elif self._record(rule.name, nominal, "run"):
            self._count(rule.name, 1)
            run = Sim(rule.name, nominal, rule, made=self.wall)
            self.runs.append(run)
            self._keep_run(run)
            self._take(run, rule)
            self._replace(run, rule)

    def _take(self, run: Sim, rule: Rule | None) -> None:
        """Set a run on its way: it waits for its turn, or goes on."""
        run.state, run.longest = "queued", self.mono + run.not_before - run.made
        if not self._waits(run, rule):
            self._going.setdefault(run.name, set()).add(run)
            self._sleep(run)
        else:
            run.then, run.when = "turn", None
            self._line.setdefault(run.name, []).append((run, rule.at_once or 1))
            self._go_on(run.name)

    @staticmethod
    def _waits(run: Sim, rule: Rule | None) -> bool:
        """Whether a run lets others of its schedule end first."""
        return rule is not None and rule.overlap in WAITING and run.first and not run.by_hand

    def _go_on(self, name: str) -> None:
        line, going = self._line.get(name, []), self._going.setdefault(name, set())
        while line and len(going) < line[0][1]:
            run, _ = line.pop(0)
            going.add(run)
            self._sleep(run)

    def _sleep(self, run: Sim) -> None:
        left = run.not_before - self.wall
        if not run.first:
            left = min(left, run.longest - self.mono)
        run.then, run.when = ("sleep", self.mono + min(left, NAP)) if left > 0 else ("start", self.mono)

    def _replace(self, run: Sim, rule: Rule | None, older_only: bool = False) -> None:
        if rule is None or rule.overlap != "cancel_other" or not run.first or run.by_hand:
            return
        mates = [each for each in self.runs if each.name == run.name]
        before = mates[: mates.index(run)]
        for other in mates:
            older = other in before if other.by_hand else other.nominal < run.nominal
            if other is not run and (older or not older_only):
                self._cancel(other)

    def _cancel(self, run: Sim) -> None:
        if run.state in ("queued", "going"):
            self._finish(run, "cancelled")
        elif run.state == "ending":
            run.recalled = True

    def _happen(self, run: Sim) -> None:
        """What a run waits for has come."""
        if run.then == "sleep":
            self._sleep(run)
        elif run.then == "write":
            self._write(run)
        elif run.then == "end":
            self._finish(run, run.final)
        elif self.broken:
            run.when = self.mono + TRY_AGAIN
        else:
            self._start(run)

    def _start(self, run: Sim) -> None:
        length, fails = fate(run.name, max(run.nominal, 0), run.attempt)
        run.started = True
        run.state, run.then, run.final = "going", "end", "failed" if fails else "succeeded"
        if run.rule.timeout is not None and run.rule.timeout < length:
            length, run.final = run.rule.timeout, "timed_out"
        run.when = self.mono + length

    def _finish(self, run: Sim, final: str) -> None:
        self._end(run, final)
        self._write(run)

    def _end(self, run: Sim, final: str) -> None:
        """A run is final. What this brings about is decided now, once."""
        run.final, run.state, run.finished = final, "ending", self.wall
        run.follow_up = []
        if final in TRIED_AGAIN and run.attempt <= run.rule.retries:
            delay = min(RETRY_DELAY * 2 ** (run.attempt - 1), 600 * SECOND)
            again = Sim(run.name, run.nominal, run.rule, run.attempt + 1, run.finished + delay, "announced")
            run.again = True
            run.follow_up.append(("retry", again))
            return
        for rule in self.rules.values():
            if rule.enabled and rule.when[0] == "after" and self._follows(rule, run):
                run.follow_up.append((rule.name, self._follower(rule, run)))

    def _follows(self, rule: Rule, run: Sim) -> bool:
        _, names, states = rule.when
        return run.name in names and (run.final in states or "any" in states) and not self._over(rule.name)

    def _follower(self, rule: Rule, run: Sim) -> Sim | str:
        if self._refused(rule):
            return "skipped"
        follower = Sim(rule.name, run.finished, rule, state="announced")
        self.runs.append(follower)
        self._count(rule.name, 1)
        return follower

    def _write(self, run: Sim) -> None:
        if self.broken:
            run.then, run.when = "write", self.mono + TRY_AGAIN
            return
        begun = self._keep(run)
        self.runs.remove(run)
        again = [each for name, each in run.follow_up if name == "retry"]
        for each in again:
            assert isinstance(each, Sim)
            self._take(each, None)
            if run.recalled:
                self._cancel(each)
        self._going.get(run.name, set()).discard(run)
        self._line[run.name] = [pair for pair in self._line.get(run.name, []) if pair[0] is not run]
        self._go_on(run.name)
        for follower in begun:
            self._take(follower, self.rules.get(follower.name))
            self._replace(follower, self.rules.get(follower.name))
        self._over_for_good(run)

    def _over_for_good(self, run: Sim) -> None:
        """A run's end is on disk."""

    def _keep(self, run: Sim) -> list[Sim]:
        """Write down what a run's end brings about; return the runs that follow."""
        run.written, begun = run.final, []
        for name, what in run.follow_up:
            if name == "retry":
                assert isinstance(what, Sim)
                what.state, what.made = "queued", run.finished
                self.runs.append(what)
                self._keep_run(what)
                continue
            nominal = run.finished
            while (name, nominal) in self.rows:
                nominal += 1
            self._record(name, nominal, "skipped" if isinstance(what, str) else "run")
            if isinstance(what, Sim):
                what.nominal, what.state, what.made = nominal, "queued", run.finished
                self._keep_run(what)
                begun.append(what)
        return begun

    def _adopt(self) -> None:
        for run in self.runs:
            rule = self.rules.get(run.name)
            if not self._waits(run, rule):
                self._going.setdefault(run.name, set()).add(run)
        for run in list(self.runs):
            self._take(run, self.rules.get(run.name))
        for run in list(self.runs):
            if run in self.runs:
                self._replace(run, self.rules.get(run.name), older_only=True)

    def _settle(self) -> None:
        """Let all happen that needs no time."""
        while ready := [run for run in self.runs if run.when is not None and run.when <= self.mono]:
            self._happen(ready[0])

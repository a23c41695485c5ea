"""What waits for Redis: newest views, ended runs first, never more than the bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.run import RunState
from reactorhub.redis.buffer import Write, WriteBuffer
from reactorhub.redis.commands import EventText, event_text
from tests.events.sink_cases import after, event, run_id, view


def states(write: Write) -> list[tuple[str, str]]:
    """Return id and state of a batch's runs, in order."""
    return [(run.view["id"], run.view["state"]) for run in write.runs.values()]


def entry(number: int) -> EventText:
    """Return an event's text."""
    return event_text(event(number))


def test_ended_runs_go_first() -> None:
    """Runs that have ended are handed out before those under way."""
    box = WriteBuffer()
    for number in range(3):
        box.add_run(view(number), after(0))
    box.add_run(view(1, RunState.FAILED), after(1))
    assert states(box.take(2, 10)) == [(run_id(1), "failed"), (run_id(0), "running")]
    assert states(box.take(2, 10)) == [(run_id(2), "running")]
    assert len(box) == 0


def test_the_end_is_not_overwritten() -> None:
    """A view from before a run's end does not replace the one of its end."""
    box = WriteBuffer()
    box.add_run(view(1, RunState.SUCCEEDED), after(2))
    box.add_run(view(1, RunState.RUNNING), after(1))
    assert states(box.take(10, 10)) == [(run_id(1), "succeeded")]


def test_given_back() -> None:
    """A batch that comes back stands before what came since, and loses against newer views."""
    box = WriteBuffer()
    for number in range(4):
        box.add_event(entry(number))
    for number in range(3):
        box.add_run(view(number), after(0))
    box.set_hub({"name": "main", "beat": 1})
    write = box.take(10, 3)
    box.add_run(view(1, RunState.FAILED), after(1))
    box.add_run(view(2, RunState.STOPPING), after(1))
    box.set_hub({"name": "main", "beat": 2})
    box.give_back(write)
    second = box.take(10, 10)
    assert states(second) == [(run_id(1), "failed"), (run_id(0), "running"), (run_id(2), "stopping")]
    assert second.events == [entry(number) for number in range(4)]
    assert second.hub == {"name": "main", "beat": 2}
    assert (write.again, second.again, box.take(1, 1).again) == (False, True, False)


def test_bounds() -> None:
    """Beyond its bounds the oldest is dropped and counted, runs under way before those that have ended."""
    box = WriteBuffer(max_runs=2, max_events=2)
    box.add_run(view(1, RunState.SUCCEEDED), after(0))
    box.add_run(view(2), after(0))
    box.add_run(view(3), after(0))
    box.add_run(view(4, RunState.FAILED), after(0))
    box.add_run(view(5, RunState.FAILED), after(0))
    for number in range(3):
        box.add_event(entry(number))
    write = box.take(10, 10)
    assert states(write) == [(run_id(4), "failed"), (run_id(5), "failed")]
    assert [text.id for text in write.events] == ["e000001", "e000002"]
    assert box.dropped == 4


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 6)),
        st.tuples(st.just("event"), st.just(0)),
        st.tuples(st.just("write"), st.integers(1, 4)),
        st.tuples(st.just("fail"), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(STEPS)
def test_failing_writes_lose_nothing(steps: list[tuple[str, int]]) -> None:
    """However writes fail in between, events arrive once and in order, and each run's newest view arrives."""
    box = WriteBuffer()
    arrived: dict[str, int] = {}
    published: dict[str, int] = {}
    events: list[str] = []

    def write(size: int) -> None:
        write = box.take(size, size)
        arrived.update({name: run.view["stats"]["moment"] for name, run in write.runs.items()})
        events.extend(text.id for text in write.events)

    for moment, (kind, number) in enumerate([*steps, ("write", 100)]):
        if kind == "run":
            box.add_run(view(number, moment=moment), after(moment))
            published[run_id(number)] = moment
        elif kind == "event":
            box.add_event(entry(moment))
        elif kind == "write":
            write(number)
        else:
            box.give_back(box.take(number, number))
    assert arrived == published
    assert events == sorted(set(events))
    assert len(events) == sum(kind == "event" for kind, _ in steps)

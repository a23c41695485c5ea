"""When an entry of a feed has been handled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reactorhub.spiderkit.feed.accounts import Accounts
from reactorhub.spiderkit.feed.entries import Entry
from reactorhub.spiderkit.feed.queue import Handled


def opened(*ids: str) -> tuple[list[Handled], Accounts]:
    """Return accounts with open entries, and the list in which handled ones appear."""
    finished: list[Handled] = []
    accounts = Accounts(finished.append)
    accounts.take(Entry(id=each, data=b"", kind="list") for each in ids)
    return finished, accounts


def names(finished: list[Handled]) -> list[str]:
    """The ids of handled entries."""
    return [each.entry.id for each in finished]


def test_entry_with_one_request() -> None:
    """It has been handled when its request has ended, with what was counted for it."""
    finished, accounts = opened("1")
    accounts.of_task("1", "t")
    accounts.begin("1")
    accounts.delivered("1")
    assert (accounts.ids, accounts.task_of("1")) == (["1"], "t")
    for _ in range(3):
        accounts.accepted("1")
    accounts.responded("1")
    accounts.responded("1")
    accounts.item("1")
    accounts.failed("1")
    accounts.error("1")
    accounts.end("1")
    assert [each.task_id for each in finished] == ["t"]
    assert finished[0].counts == (1, 3, 2, 1, 1, 1)
    assert not len(accounts)


def test_entry_without_requests() -> None:
    """It has been handled as soon as the spider has looked at it."""
    finished, accounts = opened("1", "2")
    accounts.delivered("2")
    assert names(finished) == ["2"]


def test_entry_stays_open_while_its_requests_are_made() -> None:
    """The first request may end before the second one exists."""
    finished, accounts = opened("1")
    accounts.begin("1")
    accounts.end("1")
    assert not finished
    accounts.begin("1")
    accounts.delivered("1")
    accounts.end("1")
    assert names(finished) == ["1"]


def test_unknown_entries_change_nothing() -> None:
    """Requests of an earlier life, or of an entry that another consumer has, are of no account."""
    finished, accounts = opened("1")
    accounts.forget(["1", "2"])
    for call in (accounts.begin, accounts.item, accounts.failed, accounts.error, accounts.end):
        call("1")
    accounts.of_task("1", "t")
    accounts.delivered("1")
    assert (finished, accounts.task_of("1"), "1" in accounts) == ([], None, False)


def test_what_is_cut_off_has_not_been_handled() -> None:
    """A request that fails while the spider closes may have been cut off. One that succeeds was not."""
    finished, accounts = opened("1", "2", "3")
    for each in ("1", "2", "3"):
        accounts.begin(each)
        accounts.delivered(each)
    accounts.closing = True
    accounts.failed("1")
    accounts.error("2")
    for each in ("1", "2", "3"):
        accounts.end(each)
    assert (names(finished), accounts.ids) == (["3"], ["1", "2"])


def test_what_cannot_be_finished() -> None:
    """An entry needs all of its requests, and the spider must have made all of them."""
    _, accounts = opened("waits", "runs", "half", "making")
    for each in ("waits", "runs", "half", "half", "making"):
        accounts.begin(each)
    for each in ("waits", "runs", "half"):
        accounts.delivered(each)
    assert accounts.unfinishable(["runs", "half", "making"]) == ["waits", "half", "making"]


def test_settling() -> None:
    """An idle spider has nothing under way: what a component lost counts as handled."""
    finished, accounts = opened("lost", "making")
    accounts.begin("lost")
    accounts.delivered("lost")
    assert accounts.settle() == ["lost"]
    assert (names(finished), accounts.ids) == (["lost"], ["making"])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["begin", "end", "delivered"]))))
def test_each_entry_is_handled_once(steps: list[tuple[str, str]]) -> None:
    """Whatever the order of events is, no entry is handled twice, nor with requests under way."""
    finished, accounts = opened("a", "b", "c")
    under_way = dict.fromkeys("abc", 0)
    made: set[str] = set()
    for name, step in steps:
        if step == "delivered":
            made.add(name)
            accounts.delivered(name)
        elif name in accounts and (step == "begin" or under_way[name]):
            under_way[name] += 1 if step == "begin" else -1
            getattr(accounts, step)(name)
        done = {each for each in made if not under_way[each]}
        assert set(names(finished)) <= made
        assert done <= set(names(finished))
    assert len(set(names(finished))) == len(finished)

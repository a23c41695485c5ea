"""The keys of the inbox, and the records that stand for taken entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.redis.inbox.keys import RESERVED, InboxKeys, Taken, hub_text, hubs_with, read_taken

texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_keys_of_a_hub() -> None:
    """Each key has its prefix; the lists of a hub have its name, and what it has taken its folder, too."""
    keys = InboxKeys("p:", "one", "f1")
    assert (keys.inbox, keys.own, keys.dead, keys.ids) == (
        "p:inbox",
        "p:inbox:one",
        "p:inbox:dead",
        "p:inbox:ids",
    )
    assert (keys.limits, keys.own_limits) == ("p:limits", "p:limits:one")
    assert (keys.me, keys.taken(keys.me)) == ("one/f1", "p:inbox:taken:one/f1")


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_hub_has_the_key_of_something_else(name: str) -> None:
    """A hub whose own list would have another key's name reads the common list."""
    assert InboxKeys("p:", name).own == "p:inbox"


def test_no_name_of_a_hub_makes_another_key() -> None:
    """The other keys of the inbox contain a colon or a slash, which no name has, or are reserved."""
    keys = InboxKeys("p:", "x")
    others = {keys.dead, keys.ids, keys.times, keys.hubs, keys.taken("x/")}
    names = {key.removeprefix("p:inbox:") for key in others}
    assert {name for name in names if ":" not in name and "/" not in name} == RESERVED


@given(texts, texts, texts)
def test_a_record_gives_its_entry_back(source: str, entry_id: str, entry: str) -> None:
    """Whatever the texts are."""
    taken = Taken(source, entry_id, entry.encode())
    assert read_taken(taken.record) == taken


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b"7", b"null", b'["a", "b", 7]', b"\xff", b'["a", "b"]', b'[1, "b", "c"]']
)
def test_a_record_that_no_hub_has_written(record: bytes) -> None:
    """It is refused."""
    with pytest.raises(ValueError, match="not a record"):
        read_taken(record)


def test_hubs_that_have_a_spider() -> None:
    """Only hubs that were seen lately count; what nobody can read is left out."""
    hubs = {
        "a/": hub_text(100, ("prices", "shop/prices")).encode(),
        "b/": hub_text(99, ("prices",)).encode(),
        "c/": hub_text(100, ("report",)).encode(),
        "d/": b"x",
        "e/": b"100 {",
        "f/": b"100 7",
    }
    assert hubs_with(hubs, "prices", 100) == ["a/"]
    assert hubs_with(hubs, "shop/prices", 0) == ["a/"]

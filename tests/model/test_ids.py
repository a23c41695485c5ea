"""Run ids: UUIDv7 that only ever grow, whatever the wall clock does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.ids import IdMaker

NOON = datetime(2026, 11, 21, 12, 0, 0, 123_000, tzinfo=UTC)
steps = st.lists(st.integers(-3_600_000, 3_600_000), min_size=1, max_size=50)


def timestamp(run_id: str) -> int:
    """The milliseconds since 1970 that an id says."""
    return UUID(run_id).int >> 80


def test_an_id_is_a_uuid_of_version_7_that_says_when() -> None:
    """An id is in canonical form, of version 7 and the RFC's variant, and begins with its milliseconds."""
    made = IdMaker(lambda: NOON)()
    assert made == str(UUID(made)) == made.lower()
    assert (UUID(made).version, UUID(made).variant) == (7, RFC_4122)
    assert timestamp(made) == NOON.timestamp() * 1000


@given(steps=steps, random=st.binary(min_size=8, max_size=8))
def test_ids_grow_whatever_the_clock_does(steps: list[int], random: bytes) -> None:
    """Ids sort in the order of their making, also when the clock steps back and chance stands still."""
    moments = iter([NOON + timedelta(milliseconds=step) for step in steps])
    maker = IdMaker(lambda: next(moments), lambda _: random)
    made = [maker() for _ in steps]
    assert made == sorted(set(made))
    assert {UUID(each).version for each in made} == {7}


def test_a_millisecond_that_runs_over_borrows_from_the_next() -> None:
    """More ids than one millisecond can count still grow, and stay within a few milliseconds of the truth."""
    maker = IdMaker(lambda: NOON, bytes)
    made = [maker() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert timestamp(made[-1]) - timestamp(made[0]) == 2


def test_no_two_ids_share_their_chance() -> None:
    """Chance is asked for in blocks, and each bit of it is used once."""
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return bytes(number % 256 for number in range(count))

    maker = IdMaker(lambda: NOON, random)
    made = [maker()[-12:] for _ in range(32)]
    assert len(set(made)) == 32 and len(asked) == 1


def test_two_hubs_make_different_ids() -> None:
    """Ids made at the same millisecond by two processes differ by chance."""
    assert IdMaker(lambda: NOON)() != IdMaker(lambda: NOON)()

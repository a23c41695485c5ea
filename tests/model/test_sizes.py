"""Amounts of memory are read as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactorhub.model.sizes import MAX_SIZE, MIN_SIZE, size


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("512MiB", 512 << 20),
        ("512 MiB", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("800MB", 800_000_000),
        ("2GB", 2_000_000_000),
        ("65536KiB", 64 << 20),
        ("100000KB", 100_000_000),
        ("67108864B", 64 << 20),
    ],
)
def test_sizes(text: str, number: int) -> None:
    """Units by thousands and by 1,024 are told apart."""
    assert size(text) == number


@pytest.mark.parametrize(
    "text", ["", "512", "512M", "MiB", "512mib", "-1GiB", "1e3MiB", "63MiB", "9999999GiB", "1 TiB"]
)
def test_what_is_not_a_size(text: str) -> None:
    """Anything else is refused with a sentence that shows it."""
    with pytest.raises(ValueError, match="MiB"):
        size(text)


@given(st.integers(MIN_SIZE, MAX_SIZE))
def test_every_number_of_bytes_can_be_written(number: int) -> None:
    """A number of bytes comes back as it is."""
    assert size(f"{number}B") == number

"""Any text at all is a config or a list of mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reactorhub.config import HubConfig, parse
from reactorhub.errors import ConfigError
from tests.config.config_cases import ENVIRON, FULL, only, read


def outcome(text: str) -> HubConfig | ConfigError:
    """Parse, and let nothing but a ConfigError pass, whose mistakes are one line each and lie in the text."""
    try:
        return parse(text, "f", ENVIRON, Path("/etc/hub"), "host")
    except ConfigError as error:
        lines = len(text.splitlines()) + 1
        assert error.mistakes
        assert all(1 <= m.line <= lines and m.column >= 1 and "\n" not in str(m) for m in error.mistakes)
        return error


@given(st.text())
@example("? a\n: b")
@example("%YAML 2.0\n---\n")
@example("- \x85- ")
def test_any_text_is_a_config_or_mistakes(text: str) -> None:
    """Whatever the file holds, the answer is a config or a list of mistakes."""
    outcome(text)


PIECES = "~ ~\n~\n  ~:~: ~- ~{~}~[~]~*~&a ~*a~!t ~\"~'~|~>~#~null~on~5~010~1h~@daily~${N}~${X~<<: "
MORE_PIECES = "---\n~? ~\t~\\~,~%~é~\0~\r~interval: 1h~cron: ~at: ~hub:\n~[[[[~{{{{"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FULL)),
            st.integers(0, 12),
            st.sampled_from(f"{PIECES}~{MORE_PIECES}".split("~")),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_slip_in_a_good_file_is_a_config_or_mistakes(slips: list[tuple[int, int, str]]) -> None:
    """A good file with bits cut out and put in is still a config or a list of mistakes."""
    text = FULL
    for start, length, piece in slips:
        text = text[:start] + piece + text[start + length :]
    outcome(text)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_spans_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    """A time span is the sum of its parts."""
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert only(f"timeout: {days}d{hours}h{minutes}m{seconds}s").spec.timeout == span.total_seconds()


@given(st.from_regex(r"[a-zA-Z0-9_.+:-]{1,12}", fullmatch=True))
def test_args_keep_their_text(text: str) -> None:
    """Whatever YAML would take a value for, the spider gets the text; only an explicit nothing is refused."""
    try:
        schedule = read(f"schedules:\n  a:\n    spider: s\n    args:\n      x: {text}\n").schedules["a"]
    except ConfigError as error:
        assert "YAML" in str(error) or "is empty" in str(error) or "one value" in str(error)
    else:
        assert schedule.spec.args == {"x": text}

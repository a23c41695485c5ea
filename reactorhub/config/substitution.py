"""Variables of the environment inside the values of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reactorhub.errors import shortened

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def substitute(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with ``${NAME}`` and ``${NAME:-default}`` filled in from ``environ``.

    As in a shell, the default also replaces an empty variable. ``$${`` gives ``${``. The value of a variable
    is not substituted again.

    :raises ValueError: if variables are not set (all are named), or a reference is invalid.
    """
    unset: list[str] = []

    def fill(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        reference = _VARIABLE.fullmatch(match.group(1)) if match.group(2) else None
        if reference is None:
            advice = "write ${NAME} or ${NAME:-default}; $${ gives ${ itself"
            raise ValueError(f"{shortened(match.group())!r} is not a variable; {advice}")
        name, default = reference.groups()
        found = environ.get(name)
        if default is not None:
            return found or default
        if found is None:
            unset.append(name)
        return found or ""

    filled = _REFERENCE.sub(fill, text)
    if unset:
        missing = shortened(", ".join(dict.fromkeys(unset)))
        raise ValueError(f"set the environment variable {missing}, or write ${{{unset[0]}:-default}}")
    return filled

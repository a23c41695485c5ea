"""All habits, in the order of the table in ``docs/shared-process.md``."""

from __future__ import annotations

from tests.integration.habits.environment import ENVIRONMENT
from tests.integration.habits.files import FILES
from tests.integration.habits.habit import Habit
from tests.integration.habits.process import PROCESS
from tests.integration.habits.speech import SPEECH
from tests.integration.habits.state import STATE

_ALL = (*STATE, *SPEECH, *ENVIRONMENT, *FILES, *PROCESS)
HABITS: tuple[Habit, ...] = tuple(h for h in _ALL if h.project not in ("staged", "numbered", "dollar"))

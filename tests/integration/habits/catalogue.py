"""All habits, in the order of the table in ``docs/shared-process.md``, and their siblings."""

from __future__ import annotations

from tests.integration.habits.environment import ENVIRONMENT
from tests.integration.habits.files import FILES
from tests.integration.habits.habit import Habit
from tests.integration.habits.process import PROCESS
from tests.integration.habits.siblings import SIBLINGS
from tests.integration.habits.speech import SPEECH
from tests.integration.habits.state import STATE

ON_THE_PAGE: tuple[Habit, ...] = (*STATE, *SPEECH, *ENVIRONMENT, *FILES, *PROCESS)
HABITS: tuple[Habit, ...] = (*ON_THE_PAGE, *SIBLINGS)

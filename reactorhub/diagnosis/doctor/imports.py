"""Calls whose result should not be kept from the import on."""

from __future__ import annotations

from collections.abc import Mapping

from reactorhub.diagnosis.doctor.kinds import Harm, table

STALE: Mapping[str, Harm] = table(
    (
        "datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today "
        "time.time time.time_ns time.strftime time.ctime time.localtime time.gmtime "
        "arrow.now arrow.utcnow pendulum.now pendulum.today pendulum.yesterday pendulum.tomorrow "
        "pandas.Timestamp.now pandas.Timestamp.today",
        Harm(
            "import-time",
            "is computed once, by the import; all later runs use that old value",
            "compute it in start()",
        ),
    ),
    (
        "uuid.uuid1 uuid.uuid4 secrets.token_hex secrets.token_urlsafe",
        Harm("import-time", "is made once, by the import; all runs use the same one", "make it in start()"),
    ),
    (
        "random.random random.choice random.choices random.randint random.randrange random.sample "
        "random.uniform",
        Harm(
            "import-random",
            "is chosen once, by the import; all runs use the same one",
            "choose it in start()",
        ),
    ),
)
"""Values that are different each time, and so are wrong when they are kept."""

AT_IMPORT = Harm(
    "import-time", "holds up the import, and all later runs use what it has returned", "call it in start()"
)

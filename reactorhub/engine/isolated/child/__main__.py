"""``PYTHON this/folder FD``: be a zygote that takes its orders from the socket FD.

The package is imported from its own folder, under a name of its own. The folder does not stay on
``sys.path``, where a project would find our modules instead of its own.
"""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

NAME = "_reactorhub_child"


def main() -> None:
    """Import this folder as a package and begin."""
    folder = Path(__file__).resolve().parent
    sys.path[:] = [place for place in sys.path if not place or Path(place).resolve() != folder]
    spec = spec_from_file_location(NAME, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[NAME] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
    import_module(f"{NAME}.zygote").main(int(sys.argv[1]))


main()

"""How fast the hub is, measured beside what it replaces: ``python -m bench``."""

"""The ledger on disk: the only room that imports sqlite3."""

from reactorhub.adapters.sqlite_ledger.ledger import SqliteLedger

__all__ = ["SqliteLedger"]

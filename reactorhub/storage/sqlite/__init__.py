"""The ledger on disk: the only room that imports sqlite3."""

from reactorhub.storage.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]

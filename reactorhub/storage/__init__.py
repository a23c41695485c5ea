"""The data folder: ledger (its seam, rows, SQLite, memory), lock, layout, retention."""

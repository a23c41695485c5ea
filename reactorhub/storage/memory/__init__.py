"""A ledger in memory: the double that the tests use, kept equal to SQLite by one suite over both."""

"""The versions of the database schema. A published file never changes."""

"""The doctor outside of its rules: what it reads from the disk, keeps there, and finds by an import."""

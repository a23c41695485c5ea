"""Tells people: who is notified, of what, and by which channel."""

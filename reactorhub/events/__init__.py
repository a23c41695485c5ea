"""Tells programs: events and snapshots, and the seam to where they go."""

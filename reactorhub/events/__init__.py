"""Events and snapshots for programs, and the seam to the sinks that receive them."""

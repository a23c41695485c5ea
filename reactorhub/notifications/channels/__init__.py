"""The ways to reach people: the seam, the senders, and the addresses that the schedule file may hold."""

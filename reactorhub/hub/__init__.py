"""The facade: everything a face may ask for or order, and reloading the schedule file."""

"""The schedules in force: passes their ticks on in time, and pauses a schedule that keeps failing."""

"""The schedules in force: hands their ticks on in time, and pauses a schedule that keeps failing."""

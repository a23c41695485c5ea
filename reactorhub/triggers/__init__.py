"""When a schedule is due: interval, cron, once, after; windows, time zones, durations. Pure rules."""

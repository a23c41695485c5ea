"""A run from its order to its end: admission, slots, life-cycle, escalation, shutdown."""

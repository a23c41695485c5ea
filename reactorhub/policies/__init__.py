"""What becomes of ticks and runs: catch-up, jitter, overlap, retries, outcome. Pure rules."""

"""Everything that is said to Redis and heard from it. No other package imports txredisapi."""

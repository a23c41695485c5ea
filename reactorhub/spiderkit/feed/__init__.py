"""Spiders that wait for URLs in Redis, and lose none of them."""

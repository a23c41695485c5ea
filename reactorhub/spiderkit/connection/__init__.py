"""The client of Redis and Valkey that the hub and its spiders use. No other package imports txredisapi."""

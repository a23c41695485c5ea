"""Reads the orders and limits that other programs write to Redis. Knows no hub: it hands on what it reads."""

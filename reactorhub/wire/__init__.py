"""The JSON that goes in and out: orders and views. Pure functions."""

"""Tests of what reads the inbox and the limits."""

"""Forecasts: next ticks, slots wanted, pile-ups. Pure rules."""

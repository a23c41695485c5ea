"""What is coming: next ticks, slots wanted, pile-ups. Pure rules."""

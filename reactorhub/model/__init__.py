"""The nouns, as frozen values, and the table of run states."""

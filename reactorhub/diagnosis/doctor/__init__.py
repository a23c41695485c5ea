"""Which spiders can share the reactor, told from their syntax trees; nothing is imported or run."""

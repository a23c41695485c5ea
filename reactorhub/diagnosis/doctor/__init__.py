"""Which spiders can share the reactor, judged by their syntax trees; nothing is imported or run."""

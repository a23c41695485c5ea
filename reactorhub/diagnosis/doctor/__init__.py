"""Which spiders of a project can share the reactor, told from their syntax trees; nothing is imported or run."""

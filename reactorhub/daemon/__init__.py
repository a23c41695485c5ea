"""From ``twistd reactorhub`` to a running hub: options, the order of start and stop, the composition root."""

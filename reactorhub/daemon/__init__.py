"""From ``twistd reactorhub`` to a hub that runs: options, start and stop order, what is built from what."""

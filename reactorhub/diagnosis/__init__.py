"""Why a schedule did not run, and what became of one moment. Pure rules."""

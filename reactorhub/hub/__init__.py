"""The facade that the API, the command line and signals use, and the reload of the schedule file."""

"""The HTTP API, and the guard that checks each request first."""

"""The project that all contenders run, unchanged."""

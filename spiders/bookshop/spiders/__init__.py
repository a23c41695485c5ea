"""The spiders of this project, one per module."""

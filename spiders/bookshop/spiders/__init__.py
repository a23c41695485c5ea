"""The spiders of this project, one in each module."""

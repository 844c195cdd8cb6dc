"""What AI coding agents' sessions cost, exactly, from the logs they leave on disk."""

__version__ = "0.1.0"

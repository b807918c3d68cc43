"""The executor: untrusted Python in disposable containers."""

__version__ = "0.1.0"

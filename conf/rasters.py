"""What the bytes of maps stand for."""

NO_DATA = 255
ONE = 250
"""The uint8 value that stands for probability 1."""

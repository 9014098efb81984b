"""The gate before a model is used."""


class GateError(RuntimeError):
    """A model is not good enough to take another's place; exit code 1."""

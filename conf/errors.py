"""The two ways in which input can be wrong."""


class InputError(ValueError):
    """A setting, argument or declared input is wrong: one line naming the value and the next step; exit code 2."""


class ReadError(RuntimeError):
    """A source could not be read. `kind` is the error class kept in the tile's row, e.g. `not_a_tiff`."""

    def __init__(self, kind: str, message: str, tries: int = 1) -> None:
        super().__init__(message)
        self.kind = kind
        self.tries = tries

    def __reduce__(self) -> tuple[type["ReadError"], tuple[str, str, int]]:
        return ReadError, (self.kind, str(self), self.tries)

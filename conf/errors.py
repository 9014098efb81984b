"""The two ways in which input can be wrong, and the classes of what goes wrong with images."""

ERROR_CLASSES = {
    "not_found": "no such file or address",
    "forbidden": "the owner refuses access",
    "path_not_allowed": "outside of the folders and hosts that the place names",
    "throttled": "the host asks for fewer requests",
    "server": "the host failed",
    "network": "the host did not answer, or the connection broke",
    "read_failed": "the file could not be read",
    "truncated": "the file ends too early",
    "corrupt": "a block cannot be decoded",
    "not_a_tiff": "neither a TIFF nor a JPEG 2000",
    "driver_not_allowed": "a format that points to other files",
    "image_size": "more bands or blocks than an image can have",
    "block_size": "a block larger than any image needs",
    "georeference": "no CRS, or not north up",
    "missing_band": "a band that the model needs is not there",
    "profile": "values, type or bands are not the declared sensor's",
    "no_stretch": "no percentiles to stretch values by",
    "changed_source": "another file than the one that was planned with",
    "model": "the network's answer is unusable",
}
"""Kind of a ReadError to what it means; kept as `built_up.error_class`."""

TRANSIENT = frozenset({"throttled", "server", "network", "read_failed", "truncated", "corrupt"})
"""Those worth another try with a fresh handle: a file that is being written or a drive that is away looks cut off, too."""

PASSING = frozenset({"throttled", "server", "network", "read_failed"})
"""Those that lie with the way to the file, not with the file: a tile that meets one waits for another run."""


class InputError(ValueError):
    """A setting, argument or declared input is wrong: one line naming the value and the next step; exit code 2."""


class ReadError(RuntimeError):
    """A source could not be read. `kind` is one of ERROR_CLASSES and is kept in the tile's row."""

    def __init__(self, kind: str, message: str, tries: int = 1) -> None:
        if kind not in ERROR_CLASSES:
            raise ValueError(f"{kind}: no error class; add it to ERROR_CLASSES")
        super().__init__(message)
        self.kind = kind
        self.tries = tries

    def __reduce__(self) -> tuple[type["ReadError"], tuple[str, str, int]]:
        return ReadError, (self.kind, str(self), self.tries)

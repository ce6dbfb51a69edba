"""What makes a docker command fail."""

from __future__ import annotations


class DockerError(Exception):
    """A docker command fails; the text is what docker prints.

    Attributes:
        line: of the Dockerfile, counted from 1; 0 if none is at fault.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line

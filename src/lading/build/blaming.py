"""Errors of stores and sources, told as what they are to a reader of the Dockerfile: mistakes at certain words."""

from __future__ import annotations

from lading.errors import LadingError
from lading.formats.dockerfile import DockerfileError


class mistake:  # noqa: N801
    """Errors within the block are mistakes of the file, at ``token``. A context manager."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, LadingError) and not isinstance(error, DockerfileError):
            raise DockerfileError(
                error.message, hint=error.hint, token=self._token, reason=error.reason
            ) from None

"""What a registry says no with: the error codes of the distribution specification, each with its HTTP status.

Source: distribution-spec, "Error Codes".
"""

from __future__ import annotations

from lading.errors import LadingError

BLOB_UNKNOWN = "BLOB_UNKNOWN"
BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
DIGEST_INVALID = "DIGEST_INVALID"
MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
MANIFEST_INVALID = "MANIFEST_INVALID"
MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
NAME_INVALID = "NAME_INVALID"
NAME_UNKNOWN = "NAME_UNKNOWN"
SIZE_INVALID = "SIZE_INVALID"
UNAUTHORIZED = "UNAUTHORIZED"
DENIED = "DENIED"
UNSUPPORTED = "UNSUPPORTED"
TOOMANYREQUESTS = "TOOMANYREQUESTS"
UNAVAILABLE = "UNAVAILABLE"
"""Not in the specification's list, which is for mistakes of clients: the server cannot do it now."""

STATUS = {
    BLOB_UNKNOWN: 404,
    BLOB_UPLOAD_INVALID: 400,
    BLOB_UPLOAD_UNKNOWN: 404,
    DIGEST_INVALID: 400,
    MANIFEST_BLOB_UNKNOWN: 400,
    MANIFEST_INVALID: 400,
    MANIFEST_UNKNOWN: 404,
    NAME_INVALID: 400,
    NAME_UNKNOWN: 404,
    SIZE_INVALID: 400,
    UNAUTHORIZED: 401,
    DENIED: 403,
    UNSUPPORTED: 405,
    TOOMANYREQUESTS: 429,
    UNAVAILABLE: 503,
}


class Refusal(LadingError):
    """The registry does not do what was asked. ``code`` is the specification's, ``status`` HTTP's, ``detail`` what it is about.

    ``details``: for an error about several things, one entry each; ``headers`` go out with the answer.
    """

    reason = "refused"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        detail: str = "",
        details: list[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=code)
        self.code = code
        self.status = status or STATUS[code]
        self.details = details or ([detail] if detail else [])
        self.headers = headers or {}

"""What can go wrong between a job and the API server, by what the caller can do about it.

All are `KubeError`; the server's own words (the message of its Status object, never a whole body) come with the
request's method and path. urllib3's and the ssl module's exceptions don't leave `transport.py`: they become
`RetryableError` with the cause chained. `KeyboardInterrupt` and programming errors pass through untouched.

=======================  ===========================================================================================
ConflictError            somebody was faster (409): read again, plan again
AlreadyExistsError       its special case on create: read what is there, compare
NotFoundError            the object, or its kind, is not there (404 only)
GoneError                the resourceVersion or continue token is too old (410): list again
InvalidError             refused by schema, admission or policy (400, 413, 422): no retry helps
ForbiddenError           the account lacks a right (403): a person changes RBAC
UnauthorizedError        the token or certificate is not accepted (401): it is read anew on the next call
RetryableError           429, 5xx, or no answer: try again after `retry_after` seconds or a back-off
UnknownOutcomeError      its special case after a write: it may have happened; look before trying again
ConfigurationError       no usable kubeconfig and not in a pod
=======================  ===========================================================================================
"""

from __future__ import annotations

import json


class KubeError(Exception):
    """Root of all errors of this package.

    `status` is the HTTP status (None: no answer), `reason` the Status object's CamelCase reason or "".
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class ConflictError(KubeError):
    pass


class AlreadyExistsError(ConflictError):
    pass


class NotFoundError(KubeError):
    pass


class GoneError(KubeError):
    pass


class InvalidError(KubeError):
    pass


class ForbiddenError(KubeError):
    pass


class UnauthorizedError(KubeError):
    pass


class RetryableError(KubeError):
    pass


class UnknownOutcomeError(RetryableError):
    pass


class ConfigurationError(KubeError):
    pass


# A body that is no Status (a proxy's HTML page) is cut to this many characters.
_EXCERPT = 200


def from_answer(
    what: str, *, write: bool, status: int, body: bytes, retry_after: str | None
) -> KubeError:
    """The error for an answer with status >= 400. `what` is `"PATCH /api/v1/…"`."""
    message, reason = _words(body)
    text = f"{what}: {status} {message or 'without a message'}"
    seconds = _seconds(retry_after)
    kind: type[KubeError]
    if status == 409:
        kind = AlreadyExistsError if reason == "AlreadyExists" else ConflictError
    elif status == 404:
        kind = NotFoundError
    elif status == 410:
        kind = GoneError
    elif status == 403:
        kind = ForbiddenError
    elif status == 401:
        kind = UnauthorizedError
    elif status == 429 or (status == 503 and seconds is not None):
        # The server turned the request away before it touched anything.
        kind = RetryableError
    elif status >= 500:
        kind = UnknownOutcomeError if write else RetryableError
    else:
        kind = InvalidError
    return kind(text, status=status, reason=reason, retry_after=seconds)


def _words(body: bytes) -> tuple[str, str]:
    try:
        document = json.loads(body)
    except ValueError:
        return body[:_EXCERPT].decode(errors="replace"), ""
    if isinstance(document, dict) and document.get("kind") == "Status":
        return str(document.get("message") or ""), str(document.get("reason") or "")
    return "an answer that is no Status object", ""


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After as seconds; the API server sends no dates."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None

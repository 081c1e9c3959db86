"""Everything that can go wrong with a call, in one tree.

    MaskgateError
    ├── Unreachable         no answer: wrong address, refused, cut off, or too slow
    ├── UnexpectedAnswer    an answer, but not one of Maskgate's
    └── Problem             the gateway says why it did not do it (RFC 9457)
        ├── Busy            429, 503: not now; nothing was done, sending again is safe
        ├── Rejected        other 4xx: the request has to change first
        │   ├── Conflict        409: at odds with what is there now, such as two calls of one session at once
        │   └── SessionLost     the session ended, was unused for too long, or its model is gone: begin another
        └── Failed          other 5xx: the gateway's fault

Arguments that cannot be sent at all (an array of the wrong shape, a file that is not there) raise `ValueError`,
`TypeError` and `OSError` as anywhere in Python.
"""

from __future__ import annotations


class MaskgateError(Exception):
    """Base of every error of a call."""


class Unreachable(MaskgateError):
    """No answer came back from the gateway."""


class UnexpectedAnswer(MaskgateError):
    """The answer is not what Maskgate's contract says; perhaps something else listens at this address."""


class Problem(MaskgateError):
    """A problem document.

    Attributes:
        status: HTTP status.
        code: stable name of the problem, such as ``pair-mismatch``; ``http-<status>`` where the answer has none.
        title: what the code means.
        detail: what it was this time; may be empty.
        request_id: what to quote to the operator; None where the answer has none.
        retryable: whether the same request may succeed later.
        retry_after: seconds after which it may; None where the answer does not say.
        limit: the limit that was passed, where one was.
        pointer: the part, parameter or member of the prompt at fault, such as ``/prompt/positive/0``; None where the
            answer names none.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: int | None = None,
        limit: int | None = None,
        pointer: str | None = None,
    ) -> None:
        """Keep what the document says."""
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after
        self.limit = limit
        self.pointer = pointer


class Busy(Problem):
    """Refused before any work was done; the same request may be sent again."""


class Rejected(Problem):
    """The request cannot succeed as it is."""


class Conflict(Rejected):
    """The request is at odds with what is there now; nothing of it was kept."""


class SessionLost(Rejected):
    """The session is over: it was unused for too long, was ended, or its model is served no more."""


class Failed(Problem):
    """The gateway failed; the work may or may not have been done."""

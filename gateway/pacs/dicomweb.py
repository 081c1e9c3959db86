"""A DICOMweb server, as far as it is needed: a series by WADO-RS, results by STOW-RS.

The server is the one of the settings; callers say identifiers and never addresses, and redirects are not followed.
Whatever it says of its troubles is not passed on, and the library that speaks to it is kept from logging: addresses
name studies.

DICOM PS3.18, sections 8.6.1.2 (multipart/related), 10.4 (retrieve) and 10.5 (store).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import BodyTooLarge, MaskgateError, PacsFailed, ParameterInvalid, SeriesNotFound
from gateway.observability.logs import silence_addresses
from gateway.settings import PacsSettings

if TYPE_CHECKING:
    from httpx import AsyncBaseTransport, AsyncClient, Response

DICOM = "application/dicom"
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64
_FAILED_INSTANCES = "00081198"
_STORED = (200, 202)
_UNREACHABLE = "The DICOMweb server cannot be reached, or broke off."


def check_uid(value: str, pointer: str) -> str:
    """Return a UID as it is; it becomes a step of a path.

    Raises:
        ParameterInvalid: it is none (PS3.5, 9.1).
    """
    if len(value) > _LONGEST_UID or not _UID.fullmatch(value):
        raise ParameterInvalid("A UID has digits and dots, 64 characters at most.", pointer=pointer)
    return value


class Dicomweb:
    """The server of the settings.

    Args:
        settings: with a `url`.
        transport: what carries the requests; None: the network.
    """

    def __init__(self, settings: PacsSettings, transport: AsyncBaseTransport | None = None) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._transport = transport
        self._kept: AsyncClient | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._kept is not None:
            await self._kept.aclose()

    async def series(
        self, study: str, series: str, most: int, instances: int, grow: Callable[[int], None]
    ) -> list[bytearray]:
        """Return the files of a series, as they were stored.

        Args:
            study: StudyInstanceUID.
            series: SeriesInstanceUID.
            most: bytes that all may have.
            instances: so many files there may be.
            grow: is told of bytes before they are kept.

        Raises:
            SeriesNotFound: there is none.
            BodyTooLarge: it has more bytes or files.
            PacsFailed: the server cannot be reached, is too slow, or answers with something else.
            MaskgateError: as `grow`.
        """
        accept = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
        path = f"studies/{check_uid(study, '/study')}/series/{check_uid(series, '/series')}"
        async with (
            self._answering(self._settings.fetch_seconds),
            self._client.stream("GET", path, headers={"Accept": accept}) as response,
        ):
            if response.status_code in (204, 404):
                raise SeriesNotFound("The DICOMweb server has no such series.")
            _check_status(response, (200,))
            parts = _Parts(response.headers.get("content-type", ""), instances)
            received = 0
            async for chunk in response.aiter_raw():
                received += len(chunk)
                if received > most:
                    raise BodyTooLarge(f"The series has more than {most} bytes.", limit=most)
                grow(len(chunk))
                parts.feed(chunk)
        return parts.complete()

    async def store(self, study: str, files: Sequence[bytes]) -> None:
        """Store files of a study, all in one request.

        Raises:
            PacsFailed: the server cannot be reached, is too slow, or did not take each of them.
        """
        boundary = uuid4().hex
        headers = {
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary={boundary}',
            "Content-Length": str(sum(len(piece) for piece in _enclosed(files, boundary))),
            "Accept": "application/dicom+json",
        }

        async def body() -> AsyncIterator[bytes]:
            for piece in _enclosed(files, boundary):
                yield piece

        async with self._answering(self._settings.store_seconds):
            path = f"studies/{check_uid(study, '/study')}"
            response = await self._client.post(path, headers=headers, content=body())
            _check_status(response, _STORED)
            # Where some were refused it says 202, and which; some servers answer with nothing where all is well.
            if response.content and _refused(response):
                raise PacsFailed("The DICOMweb server did not store every file.")

    @property
    def _client(self) -> AsyncClient:
        if self._kept is None:
            import httpx

            silence_addresses()
            settings = self._settings
            headers = {"Accept-Encoding": "identity"}
            if settings.token is not None:
                headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
            basic = None
            if settings.user is not None and settings.password is not None:
                basic = httpx.BasicAuth(settings.user, settings.password.get_secret_value())
            verify = True if settings.ca_file is None else httpx.create_ssl_context(verify=str(settings.ca_file))
            self._kept = httpx.AsyncClient(
                base_url=f"{settings.url}/",
                headers=headers,
                auth=basic,
                verify=verify,
                # Neither proxies nor passwords of the environment: what is not in the settings is not used.
                trust_env=False,
                timeout=httpx.Timeout(settings.idle_seconds),
                limits=httpx.Limits(max_connections=settings.connections),
                transport=self._transport,
            )
        return self._kept

    @asynccontextmanager
    async def _answering(self, seconds: float) -> AsyncIterator[None]:
        """Raise PacsFailed for what goes wrong inside, or takes longer than `seconds`."""
        import httpx

        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise PacsFailed(f"The DICOMweb server took longer than {seconds:g} seconds.") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            # Not chained: a log of the cause would name the study.
            raise PacsFailed(_UNREACHABLE) from None


def _check_status(response: Response, expected: Sequence[int]) -> None:
    status = response.status_code
    if status in (401, 403):
        raise PacsFailed("The DICOMweb server refuses the gateway's credentials.")
    if status not in expected:
        raise PacsFailed(f"The DICOMweb server answered with status {status}.")


def _refused(response: Response) -> bool:
    """Return whether an answer to a store request lists files that were not taken; what is no JSON lists none."""
    try:
        told = response.json()
    except ValueError:
        return False
    told = told[0] if isinstance(told, list) and told else told
    return isinstance(told, dict) and bool((told.get(_FAILED_INSTANCES) or {}).get("Value"))


def _enclosed(files: Sequence[bytes], boundary: str) -> Iterator[bytes]:
    """Yield the pieces of a multipart/related body."""
    for file in files:
        yield f"--{boundary}\r\nContent-Type: {DICOM}\r\nContent-Length: {len(file)}\r\n\r\n".encode()
        yield file
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


class _Parts:
    """Collects the parts of a multipart/related body as it arrives."""

    def __init__(self, content_type: str, most: int) -> None:
        """Begin.

        Raises:
            PacsFailed: the body is of another type.
        """
        media_type, options = parse_options_header(content_type)
        if media_type != b"multipart/related" or not options.get(b"boundary"):
            raise PacsFailed("The DICOMweb server did not answer with the files of a series.")
        self._most = most
        self._files: list[bytearray] = []
        self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {"on_part_begin": self._begin, "on_part_data": self._add, "on_end": self._end},
            )
        except FormParserError:
            raise PacsFailed("The DICOMweb server did not answer with the files of a series.") from None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            PacsFailed: they are no multipart body.
            BodyTooLarge: there are too many parts.
        """
        try:
            self._parser.write(chunk)
        except MaskgateError:
            raise
        except FormParserError:
            raise PacsFailed("The DICOMweb server's answer is malformed.") from None

    def complete(self) -> list[bytearray]:
        """Return the parts, once the body is complete.

        Raises:
            PacsFailed: it is not.
            SeriesNotFound: it has no part.
        """
        if not self._ended:
            raise PacsFailed("The DICOMweb server's answer ends too early.")
        if not self._files:
            raise SeriesNotFound("The DICOMweb server has no file of such a series.")
        return self._files

    def _begin(self) -> None:
        if len(self._files) >= self._most:
            raise BodyTooLarge(f"The series has more than {self._most} files.", limit=self._most)
        self._files.append(bytearray())

    def _add(self, data: bytes, start: int, end: int) -> None:
        self._files[-1] += memoryview(data)[start:end]

    def _end(self) -> None:
        self._ended = True

"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import httpx

from maskgate_client import (
    ct_protocol,
    mask_protocol,
    protocol,
    radiograph_protocol,
    scene_protocol,
    waste_protocol,
)
from maskgate_client.answers import DamageMap, DamageReport, ModelCard, ModelStatus, Picture
from maskgate_client.connection import arguments, options, unreachable
from maskgate_client.cts import CtForm, CtInput, CtReport
from maskgate_client.errors import Busy, MaskgateError
from maskgate_client.images import ImageInput
from maskgate_client.masks import Extra, MaskReport
from maskgate_client.progress import PATIENCE, Progress, Tell, followed_async
from maskgate_client.prompts import Prompt
from maskgate_client.protocol import DEFAULT_URL, Call
from maskgate_client.radiographs import FilmPicture, FilmReport
from maskgate_client.retry import Retry
from maskgate_client.scene_protocol import Districts
from maskgate_client.scene_report import Align, SceneFile, SceneForm, SceneReport
from maskgate_client.sessions import AsyncSession
from maskgate_client.wastes import WasteReport

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio: the same calls, arguments, answers and errors, awaited.

    Files are read, and images encoded and decoded, in threads: the event loop keeps turning.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = 630.0,
        retry: Retry | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first call."""
        self._http = httpx.AsyncClient(transport=transport, **options(base_url, timeout, key))
        self._retry = retry or Retry()

    async def damage(
        self, pre: ImageInput, post: ImageInput, *, model: str | None = None, version: int | None = None
    ) -> DamageMap:
        """Return the label map of a pair; without `model` the gateway's default answers."""
        return await self._send(await asyncio.to_thread(protocol.damage, pre, post, model, version))

    async def damage_report(
        self,
        pre: ImageInput,
        post: ImageInput,
        *,
        model: str | None = None,
        version: int | None = None,
        include: Sequence[Picture] = (),
    ) -> DamageReport:
        """Return the buildings of a pair and the share of each class, and the pictures to `include` at no extra run."""
        return await self._send(await asyncio.to_thread(protocol.damage_report, pre, post, model, version, include))

    async def damage_overlay(
        self, pre: ImageInput, post: ImageInput, *, model: str | None = None, version: int | None = None
    ) -> bytes:
        """Return a PNG file: the label map drawn over the post image."""
        return await self._send(await asyncio.to_thread(protocol.damage_overlay, pre, post, model, version))

    async def damage_scene(
        self,
        pre: ImageInput,
        post: ImageInput,
        *,
        districts: Districts | None = None,
        align: Align | None = None,
        model: str | None = None,
        version: int | None = None,
        include: Sequence[SceneForm] = (),
        progress: Tell | None = None,
    ) -> SceneReport:
        """Return the buildings of a pair of GeoTIFFs, and the files to `include`.

        Of other pictures it is the same, without places. Of `districts` the buildings in each are counted. `progress`
        is told of the bytes sent and then of the tiles.
        """
        call = await asyncio.to_thread(
            scene_protocol.report, pre, post, districts, align, model, version, include, progress
        )
        return await self._send(call)

    async def damage_file(
        self,
        pre: ImageInput,
        post: ImageInput,
        form: SceneFile,
        *,
        districts: Districts | None = None,
        align: Align | None = None,
        model: str | None = None,
        version: int | None = None,
        progress: Tell | None = None,
    ) -> bytes:
        """Return one file about a pair: features and the label map of GeoTIFFs, or a zip for xView2 of any pair."""
        call = await asyncio.to_thread(scene_protocol.file, pre, post, form, districts, align, model, version, progress)
        return await self._send(call)

    async def segment(
        self,
        image: ImageInput,
        *prompts: Prompt,
        model: str | None = None,
        version: int | None = None,
        threshold: float | None = None,
        include: Sequence[Extra] = (),
    ) -> MaskReport:
        """Return the objects that `prompts` show in an image, and the pictures or the COCO file to `include`.

        Pixels of a probability above `threshold` are an object's; by default the model's own counts.
        """
        return await self._send(
            await asyncio.to_thread(mask_protocol.segment, image, prompts, model, version, threshold, include)
        )

    @asynccontextmanager
    async def interactive(
        self,
        image: ImageInput,
        *,
        model: str | None = None,
        version: int | None = None,
        threshold: float | None = None,
    ) -> AsyncIterator[AsyncSession]:
        """Send an image once, and click on it inside the block; however that is left, the session ends.

        A session that cannot be ended, because the gateway is away, ends by itself when nobody uses it.
        """
        started = await self._send(await asyncio.to_thread(mask_protocol.begin, image, model, version, threshold))
        try:
            yield AsyncSession(self._send, started)
        finally:
            with suppress(MaskgateError):
                await self._send(mask_protocol.end(started.id))

    async def ct(
        self,
        image: CtInput,
        *,
        model: str | None = None,
        version: int | None = None,
        include: Sequence[CtForm] = (),
        progress: Tell | None = None,
    ) -> CtReport:
        """Return the lesions of a CT in numbers, and the segmentations to `include`; it is not a diagnosis.

        A folder's DICOM files are sent as one series, without their names. `progress` is told of the bytes sent and
        then of the slices done.
        """
        return await self._send(await asyncio.to_thread(ct_protocol.report, image, model, version, include, progress))

    async def ct_segmentation(
        self,
        image: CtInput,
        form: CtForm,
        *,
        model: str | None = None,
        version: int | None = None,
        progress: Tell | None = None,
    ) -> bytes:
        """Return the segmentation of a CT as a file: a PNG of a single slice, NIfTI, or DICOM SEG of DICOM files."""
        return await self._send(
            await asyncio.to_thread(ct_protocol.segmentation, image, form, model, version, progress)
        )

    async def radiograph(
        self,
        image: ImageInput,
        *,
        model: str | None = None,
        version: int | None = None,
        threshold: float | None = None,
        include: Sequence[FilmPicture] = (),
        saliency_class: str | None = None,
    ) -> FilmReport:
        """Return the class scores of a chest radiograph, PNG, JPEG or DICOM; it is not a diagnosis.

        From `threshold` on the first class is decided for; by default the model's own counts. The pictures to
        `include` show the evidence for `saliency_class`, by default the class decided for.
        """
        return await self._send(
            await asyncio.to_thread(
                radiograph_protocol.report, image, model, version, threshold, include, saliency_class
            )
        )

    async def waste(
        self,
        image: ImageInput,
        *,
        model: str | None = None,
        version: int | None = None,
        min_area: int | None = None,
        include: Sequence[Picture] = (),
    ) -> WasteReport:
        """Return the waste on a photograph by class and piece, and the pictures to `include` at no extra run.

        Pieces of fewer than `min_area` pixels are not listed; by default the gateway's limit counts.
        """
        return await self._send(
            await asyncio.to_thread(waste_protocol.report, image, model, version, min_area, include)
        )

    async def models(self) -> tuple[ModelStatus, ...]:
        """Return the models the gateway knows."""
        return await self._send(protocol.models())

    async def card(self, name: str) -> ModelCard:
        """Return the card of the model `name`."""
        return await self._send(protocol.card(name))

    async def ready(self) -> bool:
        """Return whether the gateway takes work now."""
        return await self._send(protocol.ready())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client itself; leaving the block closes it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def _send(self, call: Call[T]) -> T:
        if call.progress is None:
            return await self._carry(call)
        async with followed_async(partial(self._far, call.request_id), call.progress):
            return await self._carry(call)

    async def _far(self, request_id: str) -> Progress | None:
        asked = protocol.progress(request_id)
        with suppress(httpx.RequestError, MaskgateError):
            return asked.result(await self._http.request(**arguments(asked), timeout=PATIENCE))
        return None

    async def _carry(self, call: Call[T]) -> T:
        attempt = 1
        while True:
            try:
                response = await self._http.request(**arguments(call))
                return await asyncio.to_thread(call.result, response)
            except httpx.RequestError as error:
                raise unreachable(self._http.base_url, error) from error
            except Busy as problem:
                wait = self._retry.wait(problem, attempt)
                if wait is None:
                    raise
            await asyncio.sleep(wait)
            attempt += 1

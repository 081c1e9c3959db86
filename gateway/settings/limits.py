"""Settings of what is refused."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.group import Group

MIB = 1024 * 1024


class LimitSettings(Group):
    """What is refused, and from where on."""

    body_bytes: int = Field(512 * MIB, gt=0)
    """Largest request body, in bytes."""

    json_bytes: int = Field(64 * MIB, gt=0)
    """Longest JSON text of an inference request under `/v2`, in bytes; its binary tensors do not count."""

    grpc_bytes: int = Field(64 * MIB, gt=0)
    """Longest message by gRPC, in bytes; no longer than `body_bytes`. As nobody says beforehand how long one will be,
    so much is reserved while one arrives; eight do at once."""

    image_side: int = Field(12_000, ge=64)
    """Longest image side, in pixels."""

    image_pixels: int = Field(12_000 * 12_000, ge=64 * 64)
    """Most pixels in one image."""

    image_side_minimum: int = Field(64, ge=1)
    """Shortest image side, in pixels."""

    scene_side: int = Field(60_000, ge=64)
    """Longest side of a TIFF image, in pixels. It is read by windows and never held decoded."""

    scene_pixels: int = Field(24_000 * 24_000, ge=64 * 64)
    """Most pixels in one TIFF image; where a part of it is asked for (`bbox`), most in that."""

    districts: int = Field(10_000, gt=0)
    """Most polygons in one layer of districts."""

    district_bytes: int = Field(32 * MIB, gt=0)
    """Longest GeoJSON text of one, in bytes."""

    footprints: int = Field(100_000, gt=0)
    """Most footprints of buildings in one request."""

    footprint_bytes: int = Field(64 * MIB, gt=0)
    """Longest GeoJSON text of them, in bytes."""

    prompt_points: int = Field(1000, ge=4)
    """Most points in one object's prompt: clicks, corners, vertices and points of strokes."""

    prompt_objects: int = Field(255, ge=1, le=255)
    """Most objects in one prompt; an instance map has 255 values beside the background."""

    prompt_bytes: int = Field(MIB, gt=0)
    """Longest JSON text of a prompt, in bytes."""

    slice_side: int = Field(2048, ge=64)
    """Longest side of a CT slice, in pixels."""

    slice_side_minimum: int = Field(32, ge=1)
    """Shortest side of a CT slice, in pixels."""

    volume_slices: int = Field(2000, gt=0)
    """Most slices of one CT."""

    volume_voxels: int = Field(512 * MIB, gt=0)
    """Most voxels of one CT, 2,048 slices of 512×512. Its slices are never held decoded at once, its label maps are."""

    series_files: int = Field(4000, gt=0)
    """Most files in the zip of a CT series, those without an image among them."""

    series_file_bytes: int = Field(64 * MIB, gt=0)
    """Largest file of it, unpacked, in bytes."""

    series_bytes: int = Field(4096 * MIB, gt=0)
    """All its files, unpacked, in bytes. They are unpacked one at a time."""

    film_side: int = Field(6000, ge=64)
    """Longest side of a radiograph, in pixels; detectors for a chest have 4,300 at most."""

    inflight_bytes: int = Field(6 * 1024 * MIB, gt=0)
    """Uploads, decoded pixels and label maps held at once, in bytes, over all requests of all processes."""

    inflight_requests: int = Field(256, gt=0)
    """Task requests held at once by all processes, waiting ones included."""

    queue_seconds: float = Field(120.0, gt=0)
    """Longest time that a task request is expected to wait for its turn; it is refused where that would be longer."""

    deadline_seconds: float = Field(600.0, gt=0)
    """Time a task request may take, from its first byte on, and the most that `Maskgate-Deadline` may ask for."""

    scene_deadline_seconds: float = Field(4 * 3600.0, gt=0)
    """The same for a pair of TIFF images, which may be hundreds of times as large."""

    upload_seconds: float = Field(120.0, gt=0)
    """Time that any request body may take to arrive."""

    upload_bytes_per_second: int = Field(64 * 1024, gt=0)
    """Pace at which larger ones may arrive that would not in that time: 25 MB in 381 seconds."""

    upload_seconds_most: float = Field(900.0, gt=0)
    """Time that no body may exceed, whatever its size, but by `upload_seconds`: 512 MiB then need 4.8 Mbit a second.
    Beyond it uploads are to be resumable."""

    upload_stall_seconds: float = Field(20.0, gt=0)
    """How far a body of declared length may fall behind the even pace at which it would arrive in its time: its bytes
    are reserved from the start."""

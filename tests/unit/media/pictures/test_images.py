from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gateway.errors import ImageTooLarge, ImageUnreadable, ImageUnsuitable, MaskgateError, UnsupportedMedia
from gateway.media.pictures.images import DecodedImage, ImageLimits, decode, probe
from tests.support import places

UInt8 = npt.NDArray[np.uint8]

LIMITS = ImageLimits(max_pixels=12_000 * 12_000, max_side=12_000, min_side=64)
SMALL = ImageLimits(max_pixels=200 * 200, max_side=300, min_side=1)
SAMPLES = places.SAMPLES / "building_damage" / "images"


def noise(*shape: int) -> UInt8:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def smooth(height: int = 80, width: int = 100) -> UInt8:
    """A picture that JPEG hardly changes."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)


def saved(picture: Image.Image | npt.NDArray[Any], form: str = "PNG", **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opened(data: bytes | memoryview, limits: ImageLimits = LIMITS) -> DecodedImage:
    return decode(data, probe(data, limits))


def chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND")


def exif(orientation: int, order: str = "<", kind: int = 3) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(order + "HHIHH", 0x0100, 3, 1, 80, 0) + struct.pack(
        order + "HHIHH", 0x0112, kind, 1, orientation, 0
    )
    return mark + struct.pack(order + "IH", 8, 2) + entries + bytes(4)


def test_png_pixels_come_out_as_they_went_in() -> None:
    pixels = noise(80, 100, 3)
    image = opened(memoryview(saved(pixels)))
    assert np.array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert image.notices == ()


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_rgb(progressive: bool) -> None:
    pixels = smooth()
    image = opened(saved(pixels, "JPEG", quality=98, subsampling=0, progressive=progressive))
    assert abs(image.pixels.astype(int) - pixels).max() <= 12
    assert image.notices == ()


def test_probe_tells_what_the_header_says() -> None:
    info = probe(saved(noise(80, 100, 4)), LIMITS)
    assert (info.format, info.size, info.stored_size, info.pixels) == ("png", (100, 80), (100, 80), 8_000)
    assert (info.colour, info.alpha, info.depth, info.orientation, info.animated) == ("rgb", True, 8, 1, False)
    info = probe(saved(noise(80, 100), "JPEG"), LIMITS)
    assert (info.format, info.size, info.colour, info.alpha, info.depth) == ("jpeg", (100, 80), "grey", False, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_exactly_once(form: str, orientation: int) -> None:
    tag = Image.Exif()
    tag[0x0112] = orientation
    data = saved(smooth(), form, exif=tag)
    with Image.open(io.BytesIO(data)) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    info = probe(data, LIMITS)
    assert info.orientation == orientation
    assert info.size == (upright.shape[1], upright.shape[0])
    image = decode(data, info)
    assert image.pixels.shape == upright.shape
    assert image.pixels.flags.c_contiguous
    assert abs(image.pixels.astype(int) - upright).max() <= 2  # two JPEG decoders


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_behind_the_pixels_counts(order: str) -> None:
    plain = saved(smooth())
    end = len(plain) - 12
    data = plain[:end] + chunk(b"eXIf", exif(6, order)) + plain[end:]
    assert np.array_equal(opened(data).pixels, np.rot90(smooth(), -1))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"nonsense",
        exif(0),
        exif(9),
        exif(6, kind=2),
        exif(6)[:30],
        b"II*\0" + struct.pack("<I", 8),
        b"II*\0" + struct.pack("<IH", 8, 0xFFFF),
    ],
)
def test_damaged_orientation_means_upright(block: bytes) -> None:
    plain = saved(smooth())
    data = plain[:33] + chunk(b"eXIf", block) + plain[33:]
    assert probe(data, LIMITS).orientation == 1


def test_alpha_is_dropped_not_blended() -> None:
    pixels = noise(80, 100, 4)
    pixels[..., 3] = 0
    image = opened(saved(pixels))
    assert np.array_equal(image.pixels, pixels[..., :3])
    assert image.notices == ("alpha channel dropped, which hides 100.0% of the image",)


def test_what_alpha_hides_is_told_in_every_kind_of_file() -> None:
    """Half of it is hidden: by a sample, by the entry of a palette, by a grey that stands for nothing."""
    clear = np.zeros((80, 100), np.bool_)
    clear[:, :50] = True
    colours = noise(80, 100, 4)
    colours[..., :3] //= 2
    colours[..., 3] = np.where(clear, 0, 255)
    grey = np.where(clear, 7, 100 + noise(80, 100) // 4).astype(np.uint8)
    indexed = Image.fromarray(np.where(clear, 3, noise(80, 100) % 3).astype(np.uint8), "P")
    indexed.putpalette(range(12))
    key = (1, 2, 3)
    keyed = np.where(clear[..., np.newaxis], np.array(key, np.uint8), np.uint8(9) + colours[..., :3])
    few_bits = Image.fromarray(np.where(clear, 1, 3).astype(np.uint8), "P")
    few_bits.putpalette(range(12))
    deep = colours.astype(np.uint16) * 257
    bits = np.packbits(~clear, axis=1)
    one_bit = b"".join(b"\0" + row.tobytes() for row in bits)
    files = {
        "RGBA": saved(colours),
        "grey and alpha": saved(Image.fromarray(np.dstack([grey, colours[..., 3]]), "LA")),
        "16 bits": cv2.imencode(".png", deep)[1].tobytes(),
        "palette": saved(indexed, transparency=3),
        "palette of 2 bits": saved(few_bits, transparency=1, bits=2),
        "grey key": saved(grey, transparency=7),
        "grey key, 16 bits": saved(Image.fromarray(grey.astype(np.uint16) * 257), transparency=7 * 257),
        "grey key, 1 bit": png(
            100, 80, chunk(b"tRNS", b"\0\0"), chunk(b"IDAT", zlib.compress(one_bit)), depth=1, colour=0
        ),
        "colour key": saved(keyed, transparency=key),
    }
    for name, data in files.items():
        image = opened(data)
        assert image.observed is not None, name
        np.testing.assert_array_equal(image.observed, ~clear, name)
        assert image.notices[0] == "alpha channel dropped, which hides 50.0% of the image", name


def test_alpha_that_is_a_picture_hides_nothing() -> None:
    image = opened(saved(noise(80, 100, 4)))
    assert image.observed is None


def test_half_hidden_pixels_are_as_gdal_takes_them_in_a_tiff() -> None:
    pixels = noise(80, 100, 4)
    pixels[..., 3] = 255
    pixels[:10, :, 3], pixels[10:20, :, 3], pixels[20:30, :, 3] = 0, 100, 200
    observed = opened(saved(pixels)).observed
    assert observed is not None
    assert observed.all(axis=1).tolist() == [False] * 20 + [True] * 60


def test_what_alpha_hides_is_turned_with_the_picture() -> None:
    pixels = noise(80, 100, 4)
    pixels[..., 3] = 255
    pixels[:20, :, 3] = 0
    turned = Image.Exif()
    turned[0x0112] = 6
    image = opened(saved(pixels, exif=turned))
    assert image.observed is not None
    assert image.observed.shape == image.pixels.shape[:2] == (100, 80)
    assert not image.observed[:, 60:].any()
    assert image.observed[:, :60].all()


def test_grey_is_replicated() -> None:
    grey = noise(80, 100)
    for data, alpha in ((saved(grey), False), (saved(Image.fromarray(noise(80, 100, 2), "LA")), True)):
        image = opened(data)
        assert (image.pixels == image.pixels[..., :1]).all()
        assert bool(image.notices) == alpha
    assert np.array_equal(opened(saved(grey)).pixels[..., 1], grey)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_fills_the_range(bits: int) -> None:
    values = np.arange(64 * 64).reshape(64, 64) % (1 << bits)
    per_byte = 8 // bits
    shifted = [values[:, i::per_byte] << (8 - bits * (i + 1)) for i in range(per_byte)]
    rows = np.pad(np.sum(shifted, axis=0).astype(np.uint8), ((0, 0), (1, 0)))
    image = opened(png(64, 64, chunk(b"IDAT", zlib.compress(rows.tobytes())), depth=bits, colour=0))
    assert np.array_equal(image.pixels[..., 0], values * 255 // ((1 << bits) - 1))


@pytest.mark.parametrize("transparency", [None, 3])
def test_palette_is_expanded(transparency: int | None) -> None:
    palette = Image.fromarray(smooth()).quantize(16)
    options: dict[str, Any] = {} if transparency is None else {"transparency": transparency}
    image = opened(saved(palette, **options))
    assert np.array_equal(image.pixels, np.asarray(palette.convert("RGB")))
    hidden = np.mean(np.asarray(palette) == transparency)
    told = f"alpha channel dropped, which hides {hidden:.1%} of the image"
    assert image.notices == (() if transparency is None else (told,))


def test_sixteen_bits_are_scaled_with_rounding() -> None:
    deep = np.arange(1 << 16).reshape(256, 256).astype(np.uint16)
    expected = ((deep.astype(np.int64) * 2 + 257) // 514).astype(np.uint8)
    grey = opened(cv2.imencode(".png", deep)[1].tobytes())
    assert np.array_equal(grey.pixels, np.repeat(expected[..., np.newaxis], 3, axis=2))
    assert grey.notices == ("16-bit samples reduced to 8 bits",)
    bgra = np.stack([deep, deep.T, deep[::-1], deep], axis=-1)
    colour = opened(cv2.imencode(".png", bgra)[1].tobytes())
    assert np.array_equal(colour.pixels, np.stack([expected[::-1], expected.T, expected], axis=-1))
    assert colour.notices == ("alpha channel dropped", "16-bit samples reduced to 8 bits")


def test_empty() -> None:
    with pytest.raises(ImageUnreadable, match="empty"):
        probe(b"", LIMITS)


@pytest.mark.parametrize(
    "data", [b"just some text", b"GIF89a" + bytes(50), b"II*\0" + bytes(50), b"\x89PNG", b"\xff\xd8"]
)
def test_other_media_name_what_is_read(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="PNG or JPEG"):
        probe(data, LIMITS)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_truncated(form: str, share: float) -> None:
    data = saved(noise(80, 100, 3), form)
    with pytest.raises(ImageUnreadable):
        opened(data[: max(20, int(share * len(data)))])


def test_damaged_pixels() -> None:
    data = bytearray(saved(noise(80, 100, 3)))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageUnreadable, match="damaged"):
        opened(bytes(data))


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (13_000, 64), (64, 12_001), (2**31 - 1, 1)])
def test_bombs_are_refused_by_their_header(width: int, height: int) -> None:
    bomb = png(width, height, chunk(b"IDAT", zlib.compress(bytes(1_000))))
    with pytest.raises(ImageTooLarge) as refused:
        probe(bomb, LIMITS)
    assert refused.value.limit == 12_000
    with pytest.raises(ImageTooLarge):
        probe(bomb[:40], LIMITS)


def test_jpeg_sides_are_judged_too() -> None:
    data = bytearray(saved(smooth(), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(ImageTooLarge):
        probe(bytes(data), LIMITS)


def test_pixels_are_limited_apart_from_sides() -> None:
    with pytest.raises(ImageTooLarge) as refused:
        probe(saved(noise(201, 200, 3)), SMALL)
    assert refused.value.limit == 40_000
    assert probe(saved(noise(200, 200, 3)), SMALL).pixels == 40_000


def test_too_small() -> None:
    with pytest.raises(ImageUnsuitable, match="at least 64"):
        probe(saved(noise(64, 63, 3)), LIMITS)
    assert probe(saved(noise(64, 64, 3)), LIMITS).size == (64, 64)


def test_declared_size_beyond_the_data() -> None:
    rows = zlib.compress(bytes((1 + 3 * 200) * 100))
    with pytest.raises(ImageUnreadable):
        opened(png(200, 200, chunk(b"IDAT", rows)))


def test_animated() -> None:
    frames = [Image.fromarray(noise(80, 100, 3)), Image.fromarray(255 - noise(80, 100, 3))]
    with pytest.raises(ImageUnsuitable, match="animated"):
        probe(saved(frames[0], save_all=True, append_images=frames[1:]), LIMITS)


@pytest.mark.parametrize(
    ("mode", "options", "bytes_per_pixel"),
    [
        ("RGB", {"progressive": True, "subsampling": 0}, 6),
        ("RGB", {"progressive": True, "subsampling": 2}, 3),
        ("L", {"progressive": True}, 2),
        ("RGB", {"subsampling": 0}, 0),
        ("L", {}, 0),
    ],
)
def test_coefficients_that_a_decoder_holds_are_foreseen(
    mode: str, options: dict[str, Any], bytes_per_pixel: int
) -> None:
    file = io.BytesIO()
    Image.new(mode, (320, 160)).save(file, "JPEG", **options)
    assert probe(file.getvalue(), LIMITS).working_bytes == bytes_per_pixel * 320 * 160
    file = io.BytesIO()
    Image.new(mode, (321, 161)).save(file, "JPEG", **options)
    # Rounded up to whole blocks of 8×8 or 16×16.
    assert probe(file.getvalue(), LIMITS).working_bytes in (
        bytes_per_pixel * 328 * 168,
        bytes_per_pixel * 336 * 176,
    )


def test_a_sequential_jpeg_of_several_scans_is_held_whole_too() -> None:
    file = io.BytesIO()
    Image.new("RGB", (320, 160)).save(file, "JPEG", subsampling=0)
    data = bytearray(file.getvalue())
    at = data.index(b"\xff\xda")
    # A scan of the first component alone.
    data[at : at + 2 + 12] = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    assert probe(bytes(data), LIMITS).working_bytes == 6 * 320 * 160


def test_cmyk() -> None:
    with pytest.raises(ImageUnsuitable, match="CMYK"):
        probe(saved(Image.fromarray(noise(80, 100, 4), "CMYK"), "JPEG"), LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + chunk(b"IEND"),
        png(0, 80),
        png(80, 80, depth=3),
        png(80, 80, colour=5),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\0\x02",
        b"\xff\xd8\xff\xc0",
        b"\xff\xd8\xff\xc0\0\x01",
        b"\xff\xd8\xff\xc0\0\x04\x08\0",
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\0\0\x50\x01\x01\x11\0",
        b"\xff\xd8\xff\xc0\0\x0b\x08\0\x50\0\x50\x02\x01\x11\0",
    ],
)
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(ImageUnreadable):
        probe(data, LIMITS)


@pytest.mark.parametrize("padding", [b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0", b"stray"])
def test_padding_between_jpeg_segments_is_passed_over(padding: bytes) -> None:
    data = saved(smooth(), "JPEG")
    padded = data[:20] + padding + data[20:]
    assert np.array_equal(opened(padded).pixels, opened(data).pixels)


def test_hostile_headers_take_bounded_work() -> None:
    for data in (
        png(80, 80, *[chunk(b"teXt")] * 200_000),
        b"\xff\xd8" + b"\xff\xfe\0\x02" * 200_000 + saved(smooth(), "JPEG")[2:],
    ):
        with pytest.raises(ImageUnreadable):
            probe(data, LIMITS)


def test_what_opencv_itself_refuses_is_unreadable() -> None:
    boundless = ImageLimits(max_pixels=1 << 40, max_side=1 << 31, min_side=1)
    with pytest.raises(ImageUnreadable):
        opened(png(1 << 16, 1 << 15, chunk(b"IDAT", zlib.compress(bytes(100)))), boundless)


def test_data_beside_its_header_is_unreadable() -> None:
    with pytest.raises(ImageUnreadable):
        decode(saved(noise(80, 90, 3)), probe(saved(noise(80, 100, 3)), LIMITS))


VALID = [
    saved(noise(20, 30, 3)),
    saved(noise(20, 30, 4)),
    saved(Image.fromarray(smooth(20, 30)).quantize(8)),
    saved(smooth(40, 30), "JPEG", exif=Image.Exif()),
    saved(smooth(40, 30), "JPEG", progressive=True),
    cv2.imencode(".png", noise(20, 30).astype(np.uint16) * 257)[1].tobytes(),
]


@settings(deadline=None)
@given(
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4_000),
)
def test_mutated_images_give_a_picture_or_our_own_error(data: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    mutated = bytearray(data)
    for at, value in changes:
        mutated[at % len(mutated)] = value
    if cut < len(mutated):
        del mutated[len(mutated) - cut :]
    check_picture_or_error(bytes(mutated))


@settings(deadline=None)
@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", VALID[0][:33], VALID[3][:20]]), st.binary(max_size=300)
)
@example(b"\xff\xd8\xff", b"\xe1\0\x08Exif\0\0")
def test_arbitrary_bytes_give_our_own_error(start: bytes, rest: bytes) -> None:
    check_picture_or_error(start + rest)


def check_picture_or_error(data: bytes) -> None:
    try:
        info = probe(data, SMALL)
        image = decode(data, info)
    except MaskgateError:
        return
    assert image.pixels.shape == (info.size[1], info.size[0], 3)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no sample images beside the repository")
def test_real_images_decode_as_pillow_has_them() -> None:
    path = min(SAMPLES.glob("*.jpg"))
    with Image.open(path) as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert abs(opened(path.read_bytes()).pixels.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 14, 15])
def test_samples_of_few_bits_in_sixteen_are_scaled_by_what_they_hold(bits: int) -> None:
    most = (1 << bits) - 1
    deep = np.linspace(0, most, 100 * 80).round().astype(np.uint16).reshape(80, 100)
    data = cv2.imencode(".png", deep)[1].tobytes()
    decoded = opened(data)
    assert np.abs(decoded.pixels[..., 0] - deep * (255 / most)).max() <= 0.5001
    assert decoded.notices == (f"16-bit samples that hold {bits} bits reduced to 8 bits",)


def jpeg_header(marker: int, depth: int) -> bytes:
    """Return a JPEG whose frame header says so, and little more."""
    frame = struct.pack(">BHHBBBB", depth, 128, 128, 1, 1, 0x11, 0)
    table = b"\xff\xdb" + struct.pack(">H", 67) + b"\0" + bytes([1] * 64)
    head = b"\xff\xd8" + table + bytes([0xFF, marker]) + struct.pack(">H", 2 + len(frame)) + frame
    return head + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(50) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("marker", "depth", "says"),
    [
        (0xC1, 12, "12 bits per sample"),
        (0xC3, 8, "without loss"),
        (0xC3, 16, "without loss"),
        (0xC7, 8, "without loss"),
    ],
)
def test_jpeg_that_is_not_decoded_here_is_refused_for_what_it_is(marker: int, depth: int, says: str) -> None:
    with pytest.raises(ImageUnsuitable, match=says):
        opened(jpeg_header(marker, depth))

"""How sound files become hostile ones, the same ones from the same numbers."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from random import Random

from gateway.media.pictures.headers import PNG_SIGNATURE

Mutator = Callable[[Random, bytes], bytes]

# What lengths, counts, sizes and offsets are when they lie.
_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x30000000, 0x7FFFFFFF, 0x80000000, 0xF0000000)
_NUMBERS_64 = (*_NUMBERS, 0xFFFFFFFF, 0xFFFFFFFE, (1 << 63) - 1, (1 << 64) - 1)
_WORDS = (b"0", b"-1", b"1e999", b"NaN", b"-Infinity", b"1" * 400, b"null", b"true", b'""', b'"\\ud800"', b"[]", b"{}")
_TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|"[^"]*"|true|false|null')
_HEAD = 600


def mutated(random: Random, data: bytes) -> bytes:
    """Return a file that differs from `data` in one to four ways; more often than not near its beginning."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        data = random.choice(_WAYS)(random, data)
    return data


def png(random: Random, data: bytes) -> bytes:
    """Return a mutated PNG whose chunks, as far as they make sense, have right checksums: else nobody reads on."""
    changed = mutated(random, data)
    if random.random() < 0.3 or not changed.startswith(PNG_SIGNATURE):
        return changed
    pieces, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at + 12 <= len(changed):
        (length,) = struct.unpack_from(">I", changed, at)
        if at + 12 + length > len(changed):
            break
        body = changed[at + 4 : at + 8 + length]
        pieces.append(changed[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join([*pieces, changed[at:]])


def gzipped(random: Random, data: bytes) -> bytes:
    """Return a gzip file that holds something else, or is damaged itself."""
    if random.random() < 0.2:
        return mutated(random, data)
    return gzip.compress(mutated(random, gzip.decompress(data)), 1, mtime=0)


def zipped(random: Random, data: bytes) -> bytes:
    """Return a zip archive with a file that is something else, or that is damaged itself."""
    if random.random() < 0.4:
        return mutated(random, data)
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        files = {name: source.read(name) for name in source.namelist()}
    chosen = random.choice(list(files))
    return archive({**files, chosen: mutated(random, files[chosen])})


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of files by their names, which says nothing of when it was made."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as written:
        for name, content in files.items():
            written.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def text(random: Random, data: bytes) -> bytes:
    """Return JSON with other numbers and words in it, deeper than is sensible, or not JSON at all."""
    if random.random() < 0.25:
        return mutated(random, data)
    for _ in range(random.randint(1, 3)):
        tokens = list(_TOKEN.finditer(data))
        if not tokens:
            break
        token = random.choice(tokens)
        way = random.random()
        if way < 0.7:
            word = random.choice(_WORDS)
        elif way < 0.8:
            depth = random.choice((3, 100, 5000))
            word = b"[" * depth + token[0] + b"]" * depth
        elif way < 0.9:
            word = b",".join([token[0]] * random.choice((2, 50, 5000)))
        else:
            word = json.dumps({token[0].decode("latin-1"): 1}).encode()
        data = data[: token.start()] + word + data[token.end() :]
    return data


def _somewhere(random: Random, data: bytes) -> int:
    return random.randrange(min(len(data), _HEAD) if random.random() < 0.7 else len(data)) if data else 0


def _flip(random: Random, data: bytes) -> bytes:
    at = _somewhere(random, data)
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :] if data else data


def _byte(random: Random, data: bytes) -> bytes:
    at = _somewhere(random, data)
    return data[:at] + bytes([random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))]) + data[at + 1 :]


def _number(random: Random, data: bytes) -> bytes:
    at, order = _somewhere(random, data), random.choice("<>")
    size, form = random.choice(((1, "B"), (2, "H"), (4, "I"), (4, "I"), (8, "Q")))
    value = random.choice(_NUMBERS_64) & ((1 << 8 * size) - 1)
    return data[:at] + struct.pack(order + form, value) + data[at + size :]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: _somewhere(random, data)]


def _leave_out(random: Random, data: bytes) -> bytes:
    at = _somewhere(random, data)
    return data[:at] + data[at + random.choice((1, 4, 12, 100)) :]


def _repeat(random: Random, data: bytes) -> bytes:
    at, size = _somewhere(random, data), random.choice((1, 8, 12, 64, 300))
    return data[:at] + data[at : at + size] * random.choice((2, 3, 40, 2000)) + data[at + size :]


def _junk(random: Random, data: bytes) -> bytes:
    at = _somewhere(random, data)
    return data[:at] + random.randbytes(random.choice((1, 2, 8, 200))) + data[at:]


def _move(random: Random, data: bytes) -> bytes:
    start, to, size = _somewhere(random, data), _somewhere(random, data), random.choice((4, 12, 60))
    piece, rest = data[start : start + size], data[:start] + data[start + size :]
    return rest[:to] + piece + rest[to:]


_WAYS: tuple[Mutator, ...] = (_flip, _byte, _number, _number, _number, _cut, _leave_out, _repeat, _junk, _move)

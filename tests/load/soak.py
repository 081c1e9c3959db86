"""`make soak`: keep a gateway busy with every task in mixed sizes, and see whether its memory grows.

Runs until it is stopped, or until `--requests` and `--sessions` are reached; a line per 1,000 requests. The exit status
is 1 where memory clearly grew, 2 where requests failed. Callers wait for their answers and do not think: what matters
is how often everything happens, not when.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import httpx
from maskgate_load.options import CLOSED, add_to, read
from maskgate_load.process import LoadFailed, run
from maskgate_load.soak import told, verdict
from maskgate_load.watch import Watch

from tests.load.load import target, where_to
from tests.load.record import record, record_option
from tests.support.trivial_all import SETTINGS, write_trivial_repository

_SESSION_BYTES = str(32 * 1024 * 1024)
"""Small, so that what sessions keep is full before the warm-up ends."""
_MIX = {"pairs": 8, "slices": 5, "radiographs": 2, "waste": 2, "tensors": 3, "clicks": 5}
"""So that 2,000 click sessions and 20,000 requests are about as far."""
_FOREVER = 30 * 24 * 3600.0
_STEP = 1000


def main() -> int:
    """Run the soak and return its exit status."""
    # In the background of a shell it is ignored; whoever sends it all the same means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where_to(parser)
    add_to(parser)
    parser.add_argument("--requests", type=int, default=0, help="end after as many; 0: when stopped")
    parser.add_argument("--sessions", type=int, default=0, help="end after as many click sessions; 0: when stopped")
    parser.add_argument("--users", type=int, default=8, help="callers side by side")
    parser.add_argument("--tolerance", type=float, default=0.25, help="MiB per 1,000 requests that are no growth")
    record_option(parser)
    parser.add_argument("--trivial", action="store_true", help="models that cost next to nothing, for more requests")
    parser.set_defaults(load_tasks=_MIX)
    parsed = parser.parse_args()
    options = replace(read(parsed), arrivals=CLOSED, seconds=_FOREVER, think=0.0, attempts=5)
    try:
        with (
            _models(parsed.models, parsed.trivial) as (models, settings),
            target(parsed.url, parsed.pid, models, SESSIONS_BYTES=_SESSION_BYTES, **settings) as server,
            Watch(server.address, server.pid, period=2.0) as watch,
        ):
            follower = _Follower(watch, parsed.requests, parsed.sessions, parsed.tolerance)
            failures = run(server.address, options, parsed.users, follower.enough)["failures"]
    except (LoadFailed, httpx.HTTPError) as error:
        print(f"No soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    found = verdict(watch.samples, parsed.tolerance)
    seen = [sample.to_json() for sample in watch.samples]
    record(parsed.record, "soak", {"verdict": found and asdict(found), "failures": failures, "samples": seen})
    for task, reason, count in failures:
        print(f"failed {count}×: {task}: {reason}")
    if found is None:
        print("Nothing is known of its memory: name its process with --pid.")
        return 2 if failures else 0
    print(f"\nIn all\n{told(found)}\n{'Its memory grows.' if found.grows else 'Its memory does not grow.'}")
    return 1 if found.grows else 2 if failures else 0


@contextmanager
def _models(shipped: Path, trivial: bool) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """Yield a repository, and what a gateway that serves it has to be told."""
    if not trivial:
        yield shipped, {}
        return
    with tempfile.TemporaryDirectory() as folder:
        yield write_trivial_repository(Path(folder)), SETTINGS


class _Follower:
    """Prints how it goes, and says when it is enough."""

    def __init__(self, watch: Watch, requests: int, sessions: int, tolerance: float) -> None:
        self._watch, self._requests, self._sessions, self._tolerance = watch, requests, sessions, tolerance
        self._next: float = _STEP

    def enough(self) -> bool:
        """Return whether there were as many requests and sessions as wanted; never where none are."""
        first, last = self._watch.samples[0], self._watch.samples[-1]
        requests, sessions = last.requests - first.requests, last.sessions - first.sessions
        if requests >= self._next:
            found = verdict(self._watch.samples, self._tolerance)
            print(told(found) if found else f"{requests:>9,.0f} requests", flush=True)
            self._next = (requests // _STEP + 1) * _STEP
        wanted = [pair for pair in ((requests, self._requests), (sessions, self._sessions)) if pair[1]]
        return bool(wanted) and all(seen >= most for seen, most in wanted)


if __name__ == "__main__":
    sys.exit(main())

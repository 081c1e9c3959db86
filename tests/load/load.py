"""`make load`: a short load of all tasks on a gateway that it starts with the shipped models, or on one that runs.

First the gateway is kept busy for eight seconds, to learn what it can do; the load is then about that rate, or about
`--rate`. Its arrivals wait for nobody: `clients/locust` says how. Ctrl-C ends it with the report of what there is.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from maskgate_load.options import CLOSED, add_to, read
from maskgate_load.process import LoadFailed, capacity, measure
from maskgate_load.report import LOCUST_REPORT, page, table

from tests.load.bench import SHIPPED
from tests.load.record import machine, record, record_option, versions
from tests.support.processes import gateway


@dataclass(frozen=True)
class Target:
    """A gateway: its address, and its process where it runs here."""

    address: str
    pid: int | None


@contextmanager
def target(url: str | None, pid: int | None, models: Path, **settings: str) -> Iterator[Target]:
    """Yield the gateway at `url`, or one that runs until the context ends, ready, with `settings`."""
    if url:
        yield Target(url.rstrip("/"), pid)
        return
    with gateway(models, LOG_LEVEL="WARNING", **settings) as server:
        while httpx.get(f"{server.address}/readyz").status_code != 200:
            time.sleep(0.1)
        yield Target(server.address, server.process.pid)


def where_to(parser: argparse.ArgumentParser) -> None:
    """Let a parser read which gateway is meant."""
    parser.add_argument("--url", help="a gateway that runs; without it one is started")
    parser.add_argument("--pid", type=int, help="its process, where it runs here, for its memory")
    parser.add_argument("--models", type=Path, default=SHIPPED, help="repository of the one that is started")


def main() -> int:
    """Run the load, print a table, keep figures and report; return 1 where requests failed."""
    # In the background of a shell it is ignored; whoever sends it all the same means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where_to(parser)
    add_to(parser)
    record_option(parser)
    parser.set_defaults(arrivals="step", rate=0.0, seconds=48.0, record=Path("build/load"))
    parsed = parser.parse_args()
    options = read(parsed)
    parsed.record.mkdir(parents=True, exist_ok=True)
    try:
        with target(parsed.url, parsed.pid, parsed.models) as server:
            if options.rate <= 0 and options.arrivals != CLOSED:
                print("Learning what the gateway can do …", flush=True)
                options = replace(options, rate=capacity(server.address, options))
            print(
                f"{options.rate:.1f} arrivals per second are the measure of a load of {options.seconds:.0f} s …",
                flush=True,
            )
            told = measure(server.address, server.pid, options, parsed.record / LOCUST_REPORT)
    except (LoadFailed, httpx.HTTPError) as error:
        print(f"No load: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(told))
    # The packages of this machine; the gateway, which may run elsewhere, has told its own version.
    told |= {"machine": machine(), "versions": versions() | told["versions"]}
    record(parsed.record, "load", told)
    report = parsed.record / "report.html"
    report.write_text(page(told), encoding="utf-8")
    print(report)
    return 1 if told["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())

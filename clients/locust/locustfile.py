"""What `locust -f clients/locust/locustfile.py --host http://…` plays.

`--arrivals` has requests come whatever became of earlier ones; with `--arrivals closed`, or where classes are named
(`… Pairs Clicks`), each of `-u` users waits for its answer before it asks again.
`make load OPTIONS=--help` names the options of a load.

A key, where the gateway wants one, is read from MASKGATE_KEY.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from maskgate_load.load import Load, headers, scenarios_of
from maskgate_load.options import add_to, read
from maskgate_load.users import TASK_VISITORS, Arrivals, Visitor, classes_of

__all__ = ["Arrivals"]
# Where locust looks for classes of users.
globals().update(TASK_VISITORS)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    """Let locust's command line read a load."""
    add_to(parser)
    parser.add_argument("--figures", type=Path, help="where to write what happened, as JSON")


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: Any) -> None:
    """Draw the inputs of what is served, and keep the users of the others at home."""
    parsed = environment.parsed_options
    if parsed is None or not environment.host:
        raise SystemExit("Name the gateway with --host http://…")
    options = read(parsed)
    load = Load(options, scenarios_of(environment.host, headers(), options))
    # Drawing took seconds, of which gevent's loop knows nothing yet: timers would count from before.
    gevent.get_hub().loop.update_now()
    Visitor.default_headers = headers()
    environment.user_classes = list(classes_of(load, parsed.user_classes))

    def begin(**_: Any) -> None:
        load.begin()

    def write(**_: Any) -> None:
        if parsed.figures is not None:
            parsed.figures.write_text(json.dumps(load.to_json()), encoding="utf-8")

    environment.events.test_start.add_listener(begin)  # type: ignore[no-untyped-call]
    environment.events.quitting.add_listener(write)  # type: ignore[no-untyped-call]

"""`maskgate batch`: leave a folder, a table or a bucket of inputs as jobs, and save what comes back."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from maskgate_client.client import Client
from maskgate_client.command import MisuseError, Parents, align, fail, note
from maskgate_client.jobs.batch import NOTES, REPORT, Asked, Batch
from maskgate_client.jobs.inputs import items_in
from maskgate_client.tasks.generic.command import setting


def add(commands: Any, parents: Parents) -> None:
    """Add the command."""
    batch = commands.add_parser(
        "batch",
        parents=[parents.remote, parents.model],
        help="leave a folder, a CSV file or a bucket of inputs with the gateway as jobs, and save the answers",
        description="Of a folder every file is an item; of a task with several parts, files whose names differ in the "
        "part's name alone, such as a_pre.png and a_post.png. A CSV file has a column per part, with files or "
        "addresses, and perhaps a column name. Run again with the same --out, it goes on where it ended, as "
        f"{NOTES} in there says.",
    )
    batch.add_argument("source", metavar="FOLDER | CSV | s3://BUCKET/PATH/", help="where the inputs are")
    batch.add_argument("--task", required=True, metavar="TASK", help="as the gateway names it")
    batch.add_argument("--out", type=Path, required=True, metavar="DIR", help=f"for the answers and {REPORT}")
    batch.add_argument("--accept", metavar="TYPE", help="media type of the answers; default: the task's first")
    batch.add_argument(
        "--include", action="append", default=[], metavar="NAME", help="what a report brings along; may be repeated"
    )
    batch.add_argument(
        "--set", action="append", default=[], type=setting, metavar="NAME=VALUE", help="a parameter; may be repeated"
    )
    batch.add_argument("--again", action="store_true", help="leave items once more that failed in an earlier run")
    batch.add_argument("--json", action="store_true", help="print one line of JSON per item, not a table")
    batch.set_defaults(run=_run)


def _run(client: Client, options: argparse.Namespace) -> int:
    known = {task.name: task for task in client.tasks()}
    if options.task not in known:
        raise MisuseError(f"this gateway has no task {options.task!r}; it has {', '.join(known)}")
    given = {"model": options.model, "version": options.model_version, "include": options.include, **dict(options.set)}
    asked = Asked(options.task, options.accept, {name: value for name, value in given.items() if value})
    batch = Batch(client, options.out, asked, items_in(options.source, known[options.task]))
    outcomes = batch.run(again=options.again)
    failed = [outcome for outcome in outcomes if outcome.state != "done"]
    if options.json:
        for outcome in outcomes:
            print(json.dumps({name: value for name, value in vars(outcome).items() if value}, ensure_ascii=False))
    else:
        states = [outcome.state for outcome in outcomes]
        print(align([["state", "items"], *([state, str(states.count(state))] for state in sorted(set(states)))]))
        print(f"\nSaved in {options.out}: the answers, and {REPORT}")
    for outcome in outcomes:
        note(outcome.name, outcome.notices)
    for outcome in failed:
        fail(f"{outcome.name}: {outcome.problem or outcome.state}")
    return 1 if failed else 0

"""`python -m tests.support.frozen`: compare what callers see with what is stored, or store it anew.

To be renewed on purpose, in a commit of its own that says what callers have to know.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.frozen.collection import DOCUMENTS, seeing
from tests.support.frozen.documents import difference, renew


def main() -> int:
    """Print what differs, or store it; return 1 where something differs and is not stored."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.frozen", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="store what is found")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DOCUMENTS)}; default: all")
    options = parser.parse_args()
    if unknown := set(options.names) - DOCUMENTS.keys():
        parser.error(f"no such document: {', '.join(sorted(unknown))}")
    differ = False
    with TemporaryDirectory() as folder, seeing(Path(folder)) as seen:
        for name in options.names or DOCUMENTS:
            found = DOCUMENTS[name](seen)
            if options.renew:
                print(f"{name}: {'renewed' if renew(name, found) else 'as it was'}")
            elif lines := difference(name, found):
                print(lines)
                differ = True
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())

"""`maskgate-monai-label`: serve the protocol over a gateway."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvicorn

from maskgate_monai_label.app import Adapter, Sessions, create_app
from maskgate_monai_label.services import Gateway, Pacs


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="maskgate-monai-label", description=__doc__)
    parser.add_argument("--gateway", default=os.environ.get("MASKGATE_URL", "http://127.0.0.1:8080"), metavar="URL")
    parser.add_argument("--pacs", default=os.environ.get("MASKGATE_PACS_URL"), metavar="URL", help="DICOMweb")
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="keep corrected labels here")
    parser.add_argument("--origin", action="append", default=[], metavar="URL", help="of a page that may call")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    user, password = (os.environ.get(f"MASKGATE_PACS_{name}") for name in ("USER", "PASSWORD"))
    account = (user, password) if user and password else None
    adapter = Adapter(
        Gateway(options.gateway, os.environ.get("MASKGATE_KEY")),
        Pacs(options.pacs, account) if options.pacs else None,
        Sessions(),
        options.labels,
    )
    # Addresses have series in them.
    uvicorn.run(create_app(adapter, options.origin), host=options.host, port=options.port, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

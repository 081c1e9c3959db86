"""`python -m maskgate_client` is the command `maskgate`."""

import sys

from maskgate_client.cli import main

sys.exit(main())

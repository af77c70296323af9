"""Run the command line as `python -m slotel`."""

from __future__ import annotations

import sys

from slotel.cli.main import main

sys.exit(main())

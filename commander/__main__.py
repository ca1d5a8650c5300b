"""`python -m commander` is the `commander` program."""

from __future__ import annotations

import sys

from commander.launch.shell import main

sys.exit(main())

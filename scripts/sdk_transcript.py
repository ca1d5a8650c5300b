#!/usr/bin/env python3
"""Make the transcript of docs/secrets-manager.md anew: real programs, and the official Python SDK."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.transcript import write_page

if __name__ == "__main__":
    write_page()

"""What a test needs from the system that it runs on, or that is simulated: see ``elsewhere``."""

import os
import sys

import pytest

SYSTEM = os.environ.get("LASTGOOD_ELSEWHERE") or {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)

on_linux = pytest.mark.skipif(SYSTEM != "linux", reason="it tests what only Linux has")
where_processes_fork = pytest.mark.skipif(SYSTEM == "windows", reason="Windows cannot fork")

"""What a test needs of the system that it runs on, or that is pretended: see ``elsewhere``."""

import pytest

from helpers.elsewhere import SYSTEM

on_linux = pytest.mark.skipif(SYSTEM != "", reason="it is about what Linux alone has")
where_processes_fork = pytest.mark.skipif(SYSTEM == "windows", reason="Windows forks no process")

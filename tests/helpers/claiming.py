"""Another process that claims the files of a template, as a training in it would."""

import subprocess
import sys
import textwrap
from contextlib import contextmanager

_CLAIMS = """
    import sys
    from pathlib import Path
    from lastgood import RunInUseError
    from lastgood._storage import LOCAL
    class User:
        pass
    user = User()
    try:
        claim = LOCAL.claim(Path(sys.argv[1]), sys.argv[2], user, leave_lock=False)
        print("claimed", flush=True)
    except RunInUseError:
        print("refused", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_claims(directory, template):
    """Claim in another process until the block ends; yield the process, and whether it was refused."""
    command = [sys.executable, "-c", textwrap.dedent(_CLAIMS), str(directory), template]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        answer = process.stdout.readline()
        assert answer in ("claimed\n", "refused\n")
        yield process, answer == "refused\n"
        process.stdin.close()


def is_claimed(directory, template):
    """Return True if another process that wants the files of a template is refused."""
    with another_process_claims(directory, template) as (_, refused):
        return refused

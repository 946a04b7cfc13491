"""What each process does about its parts of a split state: it checks the ways to the chief, and gives the parts."""

from .._errors import GroupError
from .._formats import Format
from .._group import Invitation, Meeting, send
from .._keras import ModelAdapter
from .._saving import send_parts, try_out_joining, try_out_stage, write_own_parts
from .._storage import Location
from .council import Council
from .settings import Settings


def check_ways(council: Council, directory: Location, file_format: Format, meeting: Meeting) -> None:
    """Check that the processes can send their parts to the chief or, if all write, can write to its stage.

    Args:
        council: The processes.
        directory: The run's directory.
        file_format: The format.
        meeting: The meeting that precedes training.

    Raises:
        GroupError: A process cannot reach the chief, or does not see what the chief writes.
    """
    if not council.has_parts:
        return
    if council.group.is_chief:
        receiver = council.receiver()
        meeting.tell(receiver.invitation)
        if file_format.all_write:
            try_out_stage(receiver, directory)
        else:
            receiver.receive([], 0)
        return
    group, invitation = council.group, Invitation(*meeting.tell())
    try:
        if file_format.all_write:
            try_out_joining(group, invitation, council.seconds)
        else:
            send(group.chief_host, invitation, group.rank, [], council.seconds)
    except ConnectionError as error:
        raise GroupError(
            f"Process {group.rank} of {group.size} cannot reach process 0 at {group.chief_host}, port "
            f"{invitation.port}, to send its parts of the model's state: {error}. Let the machines connect to each "
            "other on any port."
        ) from error


def give_parts(council: Council, adapter: ModelAdapter, settings: Settings, invitation: Invitation | None) -> None:
    """Send this process's parts of a model's state to the chief, or write them, if it has invited them.

    Args:
        council: The processes.
        adapter: The model.
        settings: What is saved, and how.
        invitation: The chief's invitation.
    """
    if invitation is None:
        return
    group, seconds, background = council.group, council.seconds, settings.background is not False
    if settings.format.all_write:
        write_own_parts(adapter, settings.format, group, invitation, seconds, background=background)
    else:
        send_parts(adapter, group, invitation, seconds, background=background)

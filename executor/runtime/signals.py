"""The signals that a box needs, from the C module beneath `signal`: the enums that are built there are left out.

A box would pay a millisecond for them before it is ready, and few programs want them.
"""

TYPE_CHECKING = False  # for types only: see `executor.runtime`
if TYPE_CHECKING:
    from signal import (
        SIG_DFL,
        SIGCHLD,
        SIGCONT,
        SIGINT,
        SIGKILL,
        SIGSTOP,
        default_int_handler,
        set_wakeup_fd,
        signal,
    )
else:
    from _signal import (
        SIG_DFL,
        SIGCHLD,
        SIGCONT,
        SIGINT,
        SIGKILL,
        SIGSTOP,
        default_int_handler,
        set_wakeup_fd,
        signal,
    )

__all__ = [
    "SIGCHLD",
    "SIGCONT",
    "SIGINT",
    "SIGKILL",
    "SIGSTOP",
    "SIG_DFL",
    "default_int_handler",
    "set_wakeup_fd",
    "signal",
]

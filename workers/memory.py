"""How much memory there is, and an allocator that keeps what it has.

glibc gives the memory of large tensors back to the kernel as soon as they are freed, and the next
batch faults the same pages in again, one by one: 7% of a small model's forward.
"""

import ctypes
from pathlib import Path

import psutil

# Limits on this process's group: version 2's files, then version 1's (limit, usage).
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
# mallopt's parameters, in glibc's malloc.h, and the largest threshold that it takes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MOST_KEPT, _AHEAD, _LARGEST = 1 << 30, 64 << 20, 32 << 20


def keep_freed_memory() -> bool:
    """Lets this process keep what it frees, for its own next use; False where there is no glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _LARGEST),
        (_M_TRIM_THRESHOLD, _MOST_KEPT),
        (_M_TOP_PAD, _AHEAD),
    )
    done = [bool(mallopt(parameter, value)) for parameter, value in settings]
    return all(done)


def available_bytes() -> int:
    """Memory that this process may still take: the machine's, or its control group's if less."""
    available = int(psutil.virtual_memory().available)
    for limit, usage in _CGROUPS:
        left = _left(Path(limit), Path(usage))
        if left is not None:
            available = min(available, left)
    return available


def _left(limit: Path, usage: Path) -> int | None:
    """What a control group has left; None where it is not limited, or says nothing."""
    try:
        return max(int(limit.read_text()) - int(usage.read_text()), 0)
    except (OSError, ValueError):  # "max" is no number
        return None

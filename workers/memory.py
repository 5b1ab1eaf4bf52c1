"""How much memory there is, and an allocator that keeps what it has.

glibc gives the memory of large tensors back to the kernel as soon as they are freed, and the next
batch faults the same pages in again, one by one: 7% of a small model's forward.
"""

import ctypes
import os
import sys
from pathlib import Path

import psutil
import torch

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
# Files of a control group: limit, usage, and the line of memory.stat that the kernel can take back.
_VERSIONS = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
# mallopt's parameters, in glibc's malloc.h, and the largest threshold that it takes.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_MOST_KEPT, _AHEAD, _LARGEST = 1 << 30, 64 << 20, 32 << 20


def n_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def free_bytes(device: torch.device) -> int:
    """Memory of the device that this process may still take."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + kept)
    return available_bytes()


def available_bytes() -> int:
    """Memory that this process may still take: the machine's, or its control group's if less."""
    left = [int(psutil.virtual_memory().available)]
    for controller, *names in _VERSIONS:
        group = _CGROUPS / controller / _own_group(controller)
        for directory in (group, *group.parents):
            left.append(_left_in(directory, *names))
            if directory == _CGROUPS / controller:
                break
    return max(min(left), 0)


def _own_group(controller: str) -> str:
    """This process's group below the controller's root; version 2 has no controller's name."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            return group.lstrip("/")
    return ""


def _left_in(directory: Path, limit: str, usage: str, cache: str) -> int:
    """What a control group has left, its page cache included; endless where it has no limit."""
    try:
        most = int((directory / limit).read_text())
        used = int((directory / usage).read_text())
        stat = dict(line.split() for line in (directory / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file, or "max", which is no number
        return sys.maxsize
    return most - used + int(stat.get(cache, 0))

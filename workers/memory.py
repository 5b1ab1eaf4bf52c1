"""The C library's allocator, told that we use the same large blocks over and over.

glibc gives the memory of large tensors back to the kernel as soon as they are freed, and the next
batch faults the same pages in again, one by one: 7% of a small model's forward.
"""

import ctypes

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

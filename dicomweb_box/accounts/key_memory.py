"""What a process that holds keys does about its memory."""

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4  # linux/prctl.h


def keep_memory_to_ourselves() -> None:
    """Write no core dump, and let no other process of our user read our memory: keys are there."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # A core_pattern that pipes dumps to a program heeds no limit, but this.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)

"""What systemd is told of the service."""

import os
import socket


def notify(state: str) -> bool:
    """Tell systemd a state, such as `READY=1`, by the protocol of sd_notify(3); False where nobody asked to be told.

    The socket is the one systemd names in NOTIFY_SOCKET; a leading `@` is Linux's abstract name space.
    """
    if not (path := os.environ.get("NOTIFY_SOCKET")):
        return False
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as telling:
        try:
            telling.sendto(state.encode(), address)
        except OSError:
            return False  # whoever asked is gone: no reason to go, too
    return True

"""Whether a server is there at all, before a library spends minutes on finding out."""

import socket


def check_listening(host: str, port: int, timeout_s: float) -> None:
    """Checks that something accepts connections.

    Args:
        host: Name or address.
        port: TCP port.
        timeout_s: Seconds to wait for each address of the host.

    Raises:
        OSError: Nothing accepts connections at `host:port`.
    """
    socket.create_connection((host, port), timeout_s).close()

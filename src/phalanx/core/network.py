"""Whether a server is there at all, before a library spends minutes on finding out."""

import socket


def check_listening(host: str, port: int, timeout_s: float) -> None:
    """Raises `OSError` unless something accepts connections at `host:port` within about `timeout_s` seconds."""
    socket.create_connection((host, port), timeout_s).close()

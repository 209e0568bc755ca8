"""Addresses of this machine: which one only it can reach, and where a server could listen."""

import errno
import socket
from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def why_not_listening(host: str, port: int) -> str:
    """Why no server could listen there now: `taken`, `forbidden` or `elsewhere`; empty where one could."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        return "elsewhere"
    with socket.socket(family, kind) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            return {errno.EADDRINUSE: "taken", errno.EACCES: "forbidden"}.get(error.errno or 0, "elsewhere")
    return ""

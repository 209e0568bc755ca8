"""Everything that a server sends to a browser, byte by byte: a relay between the two keeps it.

The browser's own record is not enough: it forgets bodies on a reload, and a stream that a page closes has none.
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Bodies come uncompressed, or what stands in them could not be found.
_COMPRESSION = re.compile(rb"(?im)^accept-encoding:[^\r\n]*")
_PIECE = 1 << 16


class Wire:
    """What has gone to the browser so far, by connection.

    Attributes:
        address: where the browser asks; all of it is kept.
        server: where it is answered; who asks there leaves no trace.
    """

    def __init__(self, port: int, server: str) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.server = server
        self._sent: list[bytearray] = []

    def new_connection(self) -> bytearray:
        """Where one connection keeps its bytes."""
        self._sent.append(bytearray())
        return self._sent[-1]

    def text(self) -> str:
        """All bytes as text, one connection after the other."""
        return "\n".join(bytes(sent).decode("utf-8", "replace") for sent in self._sent)


@contextmanager
def recorded(address: str) -> Iterator[Wire]:
    """A relay on a free port of 127.0.0.1 before the server at `address`. It ends with the block."""
    target = ("127.0.0.1", int(address.rpartition(":")[2]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire(listener.getsockname()[1], address)
        accepting = threading.Thread(target=_accept, args=(listener, target, wire), daemon=True)
        accepting.start()
        try:
            yield wire
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)


def _accept(listener: socket.socket, target: tuple[str, int], wire: Wire) -> None:
    while True:
        try:
            browser, _ = listener.accept()
        except OSError:
            return  # the block has ended
        server = socket.create_connection(target)
        kept = wire.new_connection()
        threading.Thread(target=_ask, args=(browser, server), daemon=True).start()
        threading.Thread(target=_answer, args=(server, browser, kept), daemon=True).start()


def _ask(browser: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while piece := browser.recv(_PIECE):
            server.sendall(_COMPRESSION.sub(b"Accept-Encoding: identity", piece))
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _answer(server: socket.socket, browser: socket.socket, kept: bytearray) -> None:
    with server, browser, suppress(OSError):
        while piece := server.recv(_PIECE):
            kept += piece
            browser.sendall(piece)

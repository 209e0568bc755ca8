"""Which key an endpoint may see: one from the environment, bound there to an address.

A typed address alone gets no key; otherwise a slip of the keyboard, or a guest, could send the lab's key anywhere.
"""

import os
from urllib.parse import urlsplit

KEYS = ("OBOE_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
# Variable of the key, variable of the address that it belongs to, and that address where the variable is not set.
_BOUND = (
    (KEYS[0], "OBOE_API_URL", ""),
    (KEYS[1], "OPENAI_BASE_URL", "https://api.openai.com/v1"),
    (KEYS[2], "GEMINI_BASE_URL", "https://generativelanguage.googleapis.com/v1beta/openai"),
)
_PORTS = {"http": 80, "https": 443}


def key_for(base_url: str) -> str | None:
    """The key that belongs to an address: scheme, host and port must be those that its variable names."""
    asked = origin(base_url)
    fitting = (name for name, address in bound_keys().items() if asked is not None and origin(address) == asked)
    name = next(fitting, None)
    return os.environ[name] if name else None


def bound_keys() -> dict[str, str]:
    """The variables that hold a key, each with the address that its key belongs to; empty where none is named."""
    return {
        name: os.environ.get(url_variable) or default for name, url_variable, default in _BOUND if os.environ.get(name)
    }


def origin(address: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an address; None where it is no address of a web server."""
    try:
        parts = urlsplit(address.strip())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a port that is no number, or a bracket that is not closed
        return None
    return (parts.scheme, parts.hostname, port) if port and parts.scheme in _PORTS and parts.hostname else None

"""Serving the site: where, and how."""

import errno
import socket
from dataclasses import dataclass

from app.config import get_settings
from app.errors import AppError, Conflict


@dataclass(frozen=True, slots=True)
class Place:
    """The host and port that the site listens on."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The site's address for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    def check_free(self) -> None:
        """Raises Conflict where the port is in use, before anything costly is begun."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise self._refused(error) from error

    def _refused(self, error: OSError) -> AppError:
        if error.errno == errno.EADDRINUSE:
            return Conflict(
                f"Port {self.port} of {self.host} is in use by another program: stop that, or "
                f"choose another with --port (or UNITSCOPE_PORT)."
            )
        if error.errno == errno.EACCES:
            return Conflict(
                f"Port {self.port} of {self.host} is for administrators: choose one from 1024 "
                "on with --port."
            )
        return Conflict(
            f"Cannot listen on {self.host!r}, port {self.port} ({error.strerror or error}): "
            "correct --host."
        )


def place(host: str | None, port: int | None) -> Place:
    """What was asked for, else what is set."""
    settings = get_settings()
    return Place(settings.host if host is None else host, settings.port if port is None else port)


def serve(place: Place, n_workers: int) -> None:
    """Serves until interrupted."""
    import uvicorn

    print(f"Unitscope serves {place.url} (Ctrl-C ends it)", flush=True)
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=place.host,
        port=place.port,
        workers=n_workers,
        log_level="warning",
        access_log=False,
    )

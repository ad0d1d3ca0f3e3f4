"""From settings to aiormq's connections: the address with its secret, TLS, and what an error means."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from aiormq.exceptions import AMQPError, ProbableAuthenticationError
from yarl import URL

from bridge.secrecy import read_secret, redact
from bridge.sources.rabbitmq_settings import check_address

if TYPE_CHECKING:
    from bridge.sources.rabbitmq_settings import RabbitConnection


def address(settings: RabbitConnection) -> URL:
    """With the password in it: not for logs. Raises OSError, ValueError."""
    text = settings.url.get_secret_value() if settings.url else ""
    if settings.url_file is not None:
        text = read_secret(settings.url_file)
    check_address(text)
    url = URL(text)
    url = url.with_port(url.port or (5671 if url.scheme == "amqps" else 5672))
    return url.update_query({"heartbeat": str(settings.heartbeat_seconds), "name": settings.name})


def ssl_context(settings: RabbitConnection, url: URL) -> ssl.SSLContext | None:
    """For this address. Reads files: raises OSError (ssl.SSLError is one)."""
    if url.scheme != "amqps":
        return None
    tls = settings.tls
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def explain(error: BaseException) -> str:
    """An error of the client as a sentence, without secrets."""
    if isinstance(error, TimeoutError):
        return "the broker did not answer in time"
    text = redact(str(error)) or type(error).__name__
    if isinstance(error, ProbableAuthenticationError):
        return f"authentication failed, check user name and password ({text})"
    return f"{type(error).__name__}: {text}" if isinstance(error, AMQPError) else text

"""A private certificate authority for the TLS listeners of test servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from pathlib import Path


class Certificates(NamedTuple):
    """Files of one authority, a server for 127.0.0.1 and localhost, and a client."""

    ca_file: Path
    server_cert_file: Path
    server_key_file: Path
    keystore: Path  # the server's key (PKCS#8, all that Kafka reads) and chain in one file
    client_cert_file: Path
    client_key_file: Path


def make_certificates(folder: Path) -> Certificates:
    """Write a fresh set of files into the folder."""
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("bridge@example.org")
    names = ("ca.pem", "server.pem", "server.key", "keystore.pem", "client.pem", "client.key")
    files = Certificates(*(folder / name for name in names))
    chain = b"".join(part.bytes() for part in server.cert_chain_pems)
    key = load_pem_private_key(server.private_key_pem.bytes(), None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    authority.cert_pem.write_to_path(str(files.ca_file))
    files.server_cert_file.write_bytes(chain)
    files.server_key_file.write_bytes(pkcs8)
    files.keystore.write_bytes(pkcs8 + chain)
    client.cert_chain_pems[0].write_to_path(str(files.client_cert_file))
    client.private_key_pem.write_to_path(str(files.client_key_file))
    return files

"""Certificates for tests, made with the `openssl` command."""

import itertools
import pathlib
import ssl
import subprocess
from dataclasses import dataclass

EXTENSIONS = """
[req]
distinguished_name = name
[name]
[root]
basicConstraints = critical, CA:TRUE
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
"""
serial_numbers = itertools.count(1000)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, as files."""

    cert: pathlib.Path
    key: pathlib.Path
    serial: int

    def flags(self):
        return "--tls-cert", self.cert, "--tls-key", self.key


class Authority:
    """A root of its own, and what it signs; everything lies in `folder`."""

    def __init__(self, folder, name="root"):
        self.folder = pathlib.Path(folder)
        self.name = name
        self.config = self.folder / "openssl.cnf"
        self.config.write_text(EXTENSIONS)
        root = self._make(name, "root")
        self.root, self._root_key = root.cert, root.key

    def issue(self, name):
        return self._make(name, "leaf", "-CA", self.root, "-CAkey", self._root_key)

    def expire(self, identity):
        """Rewrites the certificate as one that ends now."""
        request = identity.cert.with_suffix(".csr")
        openssl("req", "-new", "-config", self.config, "-key", identity.key, "-subj", "/CN=expired",
                "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self._root_key, "-days", "0",
                "-extfile", self.config, "-extensions", "leaf", "-set_serial", str(identity.serial),
                "-out", identity.cert)

    def client(self, identity=None, **settings):
        """How a client that trusts this root, with or without a certificate of its own, opens connections."""
        context = ssl.create_default_context(cafile=self.root)
        if identity is not None:
            context.load_cert_chain(identity.cert, identity.key)
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def _make(self, name, kind, *issuer):
        serial = next(serial_numbers)
        identity = Identity(self.folder / f"{name}.pem", self.folder / f"{name}.key", serial)
        openssl("req", "-x509", "-config", self.config, "-extensions", kind, *issuer, "-subj", f"/CN={name}",
                "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-set_serial", str(serial), "-keyout", identity.key, "-out", identity.cert)
        return identity


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, stdin=subprocess.DEVNULL)

"""A certificate authority of our own and the certificates it issues, made with openssl(1)."""

import subprocess
from pathlib import Path


class Authority:
    def __init__(self, folder, name="stand-in CA"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        openssl("req", "-x509", *NEW_KEY, "-keyout", self.key, "-out", self.ca, "-days", "30", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, *names, days=30, file=None):
        """(certificate, key) for these DNS names or addresses; days < 0: expired already."""
        base = self.folder / (file or names[0].replace("*", "any").replace(":", "_"))
        cert, key, request, extensions = (base.with_name(base.name + suffix) for suffix in (".pem", ".key", ".csr", ".ext"))
        kinds = [("IP:" if name.replace(".", "").isdigit() or ":" in name else "DNS:") + name for name in names]
        extensions.write_text(f"subjectAltName={','.join(kinds)}\nbasicConstraints=CA:FALSE\n")
        openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={names[0]}")
        validity = ["-days", str(days)]
        if days < 0:
            validity = ["-not_before", "20200101000000Z", "-not_after", "20200201000000Z"]
        self._sign(request, cert, extensions, validity)
        return str(cert), str(key)

    def _sign(self, request, cert, extensions, validity):
        if validity[0] == "-days":
            openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-out", cert, *validity,
                    "-extfile", extensions)
            return
        # x509 of OpenSSL 3.0 knows no dates in the past; `ca` does.
        (self.folder / "index.txt").write_text("")
        (self.folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={self.folder}/index.txt\nrand_serial=yes\nnew_certs_dir={self.folder}\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-notext", "-config", self.folder / "ca.conf", "-in", request, "-cert", self.ca, "-keyfile",
                self.key,
                "-out", cert, "-extfile", extensions, "-startdate", validity[1], "-enddate", validity[3])


NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)

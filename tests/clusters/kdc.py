"""A real MIT KDC on loopback, with tickets that live for seconds, for as long as a test wants it."""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.clusters.shared import free_ports, need
from tests.world import wait_until

PROGRAMS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit", "klist")
REALM, PRINCIPAL = "CAF.TEST", "calib@CAF.TEST"

CLIENT = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  clockskew = 2
  ticket_lifetime = {life}
  renew_lifetime = {renew}
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
"""
SERVER = """
[kdcdefaults]
  kdc_listen = 127.0.0.1:{port}
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    max_life = {life}
    max_renewable_life = {renew}
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""


@dataclass
class KDC:
    """One realm with one principal, whose key is in `keytab`."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def environment(self) -> dict[str, str]:
        """Give what has Kerberos' programs talk to it."""
        return {"KRB5_CONFIG": f"{self.folder}/krb5.conf", "KRB5_KDC_PROFILE": f"{self.folder}/kdc.conf"}

    @property
    def keytab(self) -> Path:
        return self.folder / "caf.keytab"

    @property
    def kinit(self) -> list[str]:
        """Give the command that gets a ticket."""
        return ["kinit", "-k", "-t", str(self.keytab), PRINCIPAL]

    def call(self, *command: str) -> str:
        """Run one of Kerberos' programs by hand."""
        environment = {**os.environ, **self.environment, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def admin(self, *query: str) -> None:
        """Change something in its database."""
        self.call("kadmin.local", "-r", REALM, "-q", " ".join(query))

    def change_key(self, keytab: Path) -> None:
        """Give the principal a new key, in another keytab: the old one is worth nothing then."""
        self.admin("ktadd", "-k", str(keytab), PRINCIPAL)

    def start(self) -> None:
        """Have it answer."""
        command = ["krb5kdc", "-n", "-r", REALM, "-P", f"{self.folder}/pid"]
        environment = {**os.environ, **self.environment}
        with (self.folder / "out").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
        wait_until(self._answers, 20, "the KDC")

    def _answers(self) -> bool:
        with suppress(AssertionError):
            self.call(*self.kinit[:-1], "-c", f"FILE:{self.folder}/probe", PRINCIPAL)
            return True
        return False

    def hang(self) -> None:
        """Have it take connections and never answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        """Have it gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(life: float, renew: float = 3600) -> Iterator[KDC]:
    """Have a realm whose tickets live for so many seconds, and can be renewed for so many."""
    need(PROGRAMS, root=False)
    with tempfile.TemporaryDirectory(prefix="caf-kdc-") as name:
        kdc = KDC(Path(name))
        values = {"folder": name, "realm": REALM, "life": f"{life:g}s", "renew": f"{renew:g}s", "port": free_ports(1)}
        (kdc.folder / "krb5.conf").write_text(CLIENT.format(**values))
        (kdc.folder / "kdc.conf").write_text(SERVER.format(**values))
        kdc.call("kdb5_util", "create", "-s", "-r", REALM, "-P", secrets.token_hex(8))
        limits = ("-maxlife", f'"{life:g} seconds"', "-maxrenewlife", f'"{renew:g} seconds"')
        kdc.admin("modprinc", *limits, f"krbtgt/{REALM}@{REALM}")
        kdc.admin("addprinc", "-randkey", *limits, PRINCIPAL)
        kdc.change_key(kdc.keytab)
        try:
            kdc.start()
            yield kdc
        finally:
            kdc.end()

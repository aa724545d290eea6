"""A client of the stand-in for LSF: `client.py bsub ARGUMENTS` has mbatchd do it, and says what mbatchd says.

Like the real ones it has no time limit of its own, and what mbatchd has read is done, whoever waits for the answer.
"""

import json
import os
import socket
import sys
import time


def main() -> int:
    asked = {"argv": sys.argv[1:], "env": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.connect(os.path.join(os.environ["LSF_ENVDIR"], "mbatchd.socket"))
        except OSError:
            print("Cannot connect to LSF. Please wait ...", flush=True)
            time.sleep(10_000)
        server.sendall(json.dumps(asked).encode("utf-8", "surrogateescape") + b"\n")
        with server.makefile("rb") as answer:
            line = answer.readline()
    if not line:
        return 255
    told = json.loads(line)
    sys.stdout.buffer.write(told["out"].encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
    sys.stderr.buffer.write(told["err"].encode("utf-8", "surrogateescape"))
    if told.get("signal"):
        os.kill(os.getpid(), told["signal"])
    return int(told["code"])


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""One connector and the application behind it, as a process: registers with the stand-in edge for a tunnel, answers the requests that
the edge sends, and ends when the edge does. To end this process is to take the tunnel down."""

import argparse
import os
import signal
import socket
import json
import threading
import uuid

import wire
from origin import Origin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", required=True, help="host:port of the edge's registry")
    parser.add_argument("--tunnel", required=True, help="UUID")
    parser.add_argument("--name", required=True)
    options = parser.parse_args()
    origin = Origin(wire.Background(), options.name)
    host, port = options.edge.rsplit(":", 1)
    edge = socket.create_connection((host, int(port)), timeout=10)
    edge.sendall(json.dumps({"tunnel": options.tunnel, "connector": str(uuid.uuid4()), "address": origin.address}).encode() + b"\n")
    if edge.recv(64) != b"registered\n":
        raise SystemExit("the edge does not take this connector")
    print(f"tunnel {options.name}: connected, pid {os.getpid()}", flush=True)
    edge.settimeout(None)
    threading.Thread(target=end_with, args=(edge,), daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


def end_with(edge):
    try:
        edge.recv(1)
    except OSError:
        pass
    os._exit(0)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()

"""The processes of this machine: every port that they open asks for a certificate that nobody else has."""

from __future__ import annotations

import copy
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dask
import psutil
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security

from dpedtool.dataset.errors import DpedtoolError
from dpedtool.pipeline.local_cluster import start
from dpedtool.pipeline.runner import run, use_tls


def wait_for(file: str) -> str:
    """Work that ends when a file is there."""
    Path(file).with_suffix(f".{os.getpid()}").touch()
    while not Path(file).exists():
        time.sleep(0.05)
    return file


def ports() -> set[int]:
    """The ports on which this process and its children listen."""
    me = psutil.Process()
    found = set()
    for process in [me, *me.children(recursive=True)]:
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"
                found.add(connection.laddr.port)
    return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[int]]:
    """The ports that are open while two processes work."""
    folder = tmp_path_factory.mktemp("work")
    before = ports()
    files = [str(folder / name) for name in ("a", "b", "c")]
    results = run(wait_for, files, 2)
    # The first item is handed over only when somebody asks for a result, so that it is asked for in the background.
    done: list[object] = []
    thread = threading.Thread(target=lambda: done.extend(results))
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while len(list(folder.glob("?.[0-9]*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        yield ports() - before
    finally:
        for file in files:
            Path(file).touch()
        thread.join(60)
    assert len(done) == 3


def test_scheduler_and_workers_listen_and_nothing_else(opened: set[int]) -> None:
    # One of the scheduler, and one of each worker and of each of the processes that watch over them.
    assert len(opened) == 5


def test_no_port_answers_without_encryption(opened: set[int]) -> None:
    for port in opened:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            plain.settimeout(5)
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                answer = plain.recv(4096)
            except (ConnectionError, TimeoutError):
                answer = b""
        # Nothing, or the alert of TLS that this is no TLS.
        assert answer == b"" or answer[0] == 21


def lets_in(port: int, context: ssl.SSLContext) -> bool:
    """Whether a port answers a client with this certificate; with TLS 1.3 a client learns only by reading."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as hidden,
        ):
            hidden.sendall(b"x")
            return hidden.recv(1) != b""
    except (ssl.SSLError, ConnectionError):
        return False


def test_no_port_accepts_a_stranger(opened: set[int]) -> None:
    """A certificate of somebody else's, as another run of dpedtool has one, is refused like none at all."""
    strangers = [ssl.create_default_context(), Security.temporary().get_connection_args("client")["ssl_context"]]
    for context in strangers:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert not any(lets_in(port, context) for port in opened)


def made_by(address: str, security: Security | None, file: Path) -> bool:
    """Whether a client could make a file through the cluster at an address."""
    try:
        with Client(address, security=security, timeout=3, set_as_default=False) as client:
            client.submit(file.touch).result(timeout=20)
    except (OSError, TimeoutError, ValueError):
        assert not file.exists()
    return file.exists()


def test_dasks_own_client_runs_no_code_there(tmp_path: Path) -> None:
    with start(1) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        assert not made_by(address.replace("tls", "tcp"), None, tmp_path / "plain")
        assert not made_by(address, Security.temporary(), tmp_path / "stranger")
        assert made_by(address, cluster.security, tmp_path / "own")


@pytest.fixture
def certificates(tmp_path: Path) -> Iterator[tuple[Path, Security]]:
    """A folder with the files of a certificate, and the settings of Dask as they were afterwards."""
    made = Security.temporary()
    for name, text in (("ca", made.tls_ca_file), ("cert", made.tls_client_cert), ("key", made.tls_client_key)):
        (tmp_path / f"{name}.pem").write_text(text)
    before = copy.deepcopy(dask.config.config)
    yield tmp_path, made
    dask.config.config.clear()
    dask.config.config.update(before)


def test_a_foreign_cluster_with_certificates_needs_the_right_ones(certificates: tuple[Path, Security]) -> None:
    folder, security = certificates
    with LocalCluster(
        n_workers=1, security=security, protocol="tls://", processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(DpedtoolError, match="asks for a certificate: name its folder with --scheduler-tls"):
            list(run(abs, [-1, -2], 2, scheduler=address))
        use_tls(folder)
        assert sorted(result for _, result in run(abs, [-1, -2], 2, scheduler=address)) == [1, 2]


def test_missing_and_damaged_certificates_are_sentences(certificates: tuple[Path, Security]) -> None:
    folder, _ = certificates
    (folder / "key.pem").write_text("no key")
    with pytest.raises(DpedtoolError, match="cannot be used"):
        use_tls(folder)
    (folder / "key.pem").unlink()
    with pytest.raises(DpedtoolError, match=r"has no key\.pem"):
        use_tls(folder)

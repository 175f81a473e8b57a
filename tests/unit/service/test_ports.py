"""A port that a service has chosen is not given to another, also before its server listens there."""

import contextlib
import socket

import pytest

from heddle.service import ports


def test_port_when_it_is_held_then_it_is_not_free_before_and_after_a_server_listens() -> None:
    port = ports.choose()

    with ports.held(port=port):
        before = ports.is_free(port=port)
        with (
            socket.create_server(("127.0.0.1", port), reuse_port=True) as server,
            socket.create_connection(("127.0.0.1", port), timeout=5),
        ):
            server.accept()[0].close()
        between = ports.is_free(port=port)

    assert (before, between) == (False, False)
    assert ports.is_free(port=port)


def test_port_when_it_cannot_be_held_then_the_start_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ports.held(port=server.getsockname()[1]):
        assert not ports.is_free(port=server.getsockname()[1])


def test_port_when_it_is_taken_then_our_own_server_listens_and_a_second_one_is_refused() -> None:
    port = ports.choose()

    with second(port), pytest.raises(ports.PortTaken, match=f"port {port} of 127.0.0.1 is taken"), second(port):
        pass
    with (
        second(port),
        socket.create_server(("127.0.0.1", port), reuse_port=True),
        pytest.raises(ports.PortTaken),
        second(port),
    ):
        pass
    with second(port):
        assert not ports.is_free(port=port)


def test_port_when_the_server_before_left_connections_then_it_can_be_taken() -> None:
    port = ports.choose()
    with (
        socket.create_server(("127.0.0.1", port), reuse_port=True) as server,
        socket.create_connection(("127.0.0.1", port), timeout=5) as client,
    ):
        # The side that closes first keeps the connection for a minute.
        server.accept()[0].close()
        assert client.recv(1) == b""

    with second(port):
        assert not ports.is_free(port=port)


def second(port: int) -> contextlib.AbstractContextManager[None]:
    return ports.taken(port=port, host="127.0.0.1", otherwise="stop it")

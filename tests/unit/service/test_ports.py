"""A port that a service has chosen is not given to another, also before its server listens there."""

import socket

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

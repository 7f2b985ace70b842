"""Ports on which programs listen."""

import socket

from devcluster.ports import free_port


def test_a_chosen_port_cannot_be_taken_by_another_connection_before_its_use():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = [socket.create_connection(listener.getsockname()) for _ in range(20)]
        lowest = min(connection.getsockname()[1] for connection in connections)
        for connection in connections:
            connection.close()

    assert all(free_port() < lowest for _ in range(100))


def test_a_port_is_never_chosen_twice_nor_while_it_is_in_use():
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        ports = [free_port() for _ in range(1000)]

    assert taken not in ports
    assert len(set(ports)) == 1000

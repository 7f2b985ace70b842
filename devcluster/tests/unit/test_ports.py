"""Ports that programs are told to listen on."""

import socket

from devcluster.ports import free_port


def test_no_connection_of_others_gets_a_port_between_its_choice_and_its_use():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = [socket.create_connection(listener.getsockname()) for _ in range(20)]
        lowest = min(connection.getsockname()[1] for connection in connections)
        for connection in connections:
            connection.close()

    assert all(free_port() < lowest for _ in range(100))


def test_no_port_is_given_twice_nor_one_that_is_taken():
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        ports = [free_port() for _ in range(1000)]

    assert taken not in ports
    assert len(set(ports)) == 1000

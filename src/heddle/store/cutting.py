"""Cut a connection off whose server does not answer: a black hole gives no error, so somebody has to make one.

Closing a connection under its waiting user would leave the user waiting; ending its traffic wakes it with the error of
a lost connection, which everybody knows how to handle.
"""

import contextlib
import os
import socket

import psycopg
from psycopg.pq import abc


def cut(connection: abc.PGconn) -> None:
    """End a connection's traffic in both directions, so that whoever waits for it is told that it is lost.

    May be called from any thread and about a connection that is gone already; a second call changes nothing.
    """
    # A copy of the descriptor, so that closing it here leaves the driver's own alone.
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.socket)) as copy:
        copy.shutdown(socket.SHUT_RDWR)

"""Makes the jobs that an application asked for in its own transactions: one for each row, whatever dies.

DATABASE_URL=postgresql://… NAMESPACE=default python examples/outbox/relay.py
"""

import os
import time

import psycopg

from agentjobs.client import Client

NEXT = """SELECT id, template, parameters FROM agent_requests WHERE job IS NULL
          ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"""
DONE = "UPDATE agent_requests SET job = %s WHERE id = %s"


def relay_one(connection, client):
    """Make the job of the oldest request that has none; return whether there was one."""
    with connection.transaction():
        found = connection.execute(NEXT).fetchone()
        if found is None:
            return False
        number, template, parameters = found
        name = f"{template}-request-{number}"
        # The same name is the same job, and the key keeps it from running again when its object is gone.
        unique = {"key": f"outbox/{name}", "states": "All"}
        client.submit({"templateRef": {"name": template}, "parameters": parameters, "unique": unique}, name=name)
        connection.execute(DONE, (name, number))
    return True


if __name__ == "__main__":
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        Client(namespace=os.environ.get("NAMESPACE")) as client,
    ):
        while relay_one(connection, client) or "ONCE" not in os.environ:
            time.sleep(0.1)

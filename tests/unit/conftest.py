"""What all tests here share."""

import asyncio

# looptime asks for the current event loop around every test. On Python 3.11 asking makes one where none was ever set,
# as in a synchronous test that runs first; nobody closes it, and its ResourceWarning fails the whole run.
asyncio.set_event_loop(None)

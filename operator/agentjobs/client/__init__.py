"""For programs that submit jobs: the API server and the gateway over HTTP, as their user.

    kubeconfig.py  which cluster, as whom        connection.py  what HTTP needs for that, and what answers mean
    effects.py     what an operation may ask for  transport.py   carries it out, blocking or in an event loop

Needs the base dependencies alone. The command line is its first user.
"""

"""The model proxy: the only process that holds keys of providers, and the only one that reaches them.

Stateless: limits, budgets and the record of calls are in Postgres, so any number of replicas may serve.

    limits       gives calls their turns at the limits of keys
    closures     which keys are known to be closed
    returns      sends what calls give back of the limits
"""

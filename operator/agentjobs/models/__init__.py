"""Models of an installation: names, prices, providers, budgets. Nothing here calls a model, and everything except
reading files and keys in `config` is pure.

tokens        token counts of calls
budget        budgets of jobs, and whether another call fits
names         canonical names of models, patterns, APIs of models
prices        prices of models: the built-in dated table, and overrides
queue_limits  limits of queues on model calls
models_file   the format of an installation's models file, and its rules
config        the parsed file: aliases, routes, keys, limits, prices
environment   the same from variables of providers' clients
marked_yaml   YAML with line numbers, and messages about its errors
"""

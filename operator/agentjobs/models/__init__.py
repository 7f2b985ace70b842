"""Models as an installation sees them: names, prices, providers, budgets. Nothing here asks a model, and all
but the reading of files and keys in `config` is pure.

tokens       what a call used
budget       what a job may spend, and whether one call more fits
names        canonical names of models, patterns, whose API a model speaks
prices       what models cost: the dated table that ships, and entries before it
queue_limits limits of queues on model calls
models_file  the form of an installation's file of models, and the rules between its parts
config       what the file allows: aliases, routes, keys, limits, prices
environment  the same from the variables that providers' own clients read
marked_yaml  YAML whose values remember their lines, and its flaws in words
"""

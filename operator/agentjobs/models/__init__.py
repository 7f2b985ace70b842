"""Models as an installation sees them: names, prices, providers, budgets. Pure; nothing here asks a model.

tokens       what a call used
budget       what a job may spend, and whether one call more fits
"""

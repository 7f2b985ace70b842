"""Triggers: calls that make jobs of templates.

    file         which signed calls there may be: the installation's file of triggers
    signatures   whether a call is signed with a secret that is known here
    calls        what a call says: its body, parameters by path, its idempotency key
    jobs         the job that a call makes, and how it is made once
    answering    what becomes of a signed call

A call with a Kubernetes token acts with that token alone; one with a signature makes the one kind of job that its entry
in the file names, of which its body chooses the parameters' values.
"""

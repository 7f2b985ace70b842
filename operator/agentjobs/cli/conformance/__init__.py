"""`agentjobs conformance`: checks that a program implements the runner contract.

    verb          the command line and the table
    situations    the situations, by name
    scripts       a gateway's special answers, and when programs are stopped
    requirements  what a program must do in single situations; pure
    faults        what a program must do in every situation; pure
    observations  observations of a program, as values; pure
    player        one situation from beginning to end
    stage         the state of a situation, and its gateway's answers
    server        the same over HTTP
    models        its model proxy's answers
    program       the program, as a process or in a container

A program is started like a pod's container, next to a gateway on the loopback interface that uses the real gateway's
parser. The program is not trusted: it may hang, lie, or print without end.
"""

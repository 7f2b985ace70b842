"""`agentjobs conformance`: does a program keep the runner contract?

    verb        the command line and the table
    situations  what is played: each situation with its name
    scripts     what gateways answer in them, and when programs are told to stop
    demands     what a program must do in single ones; pure
    faults      what every program must do in every situation; pure
    seen        what was seen of a program, as values; pure
    player      one situation from beginning to end
    stage       the state of a situation, and what its gateway answers
    server      the same by HTTP
    models      what its model proxy answers
    program     the program, as a process or in a container

A program is started as a pod's container is, beside a gateway on the loopback interface that reads bodies with the very
parser of the real one. Nothing of the program is trusted: it may hang, lie, or print without end.
"""

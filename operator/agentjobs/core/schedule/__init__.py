"""What happens to a schedule next.

decide       observation in, action out
model        a schedule as a value, and its plan
observation  what `decide` looks at
actions      what the operator may do about a schedule
job          the job of one occurrence
"""

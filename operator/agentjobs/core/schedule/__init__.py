"""What happens to a schedule next.

decide       observation in, action out
model        a schedule as a value, and its plan
observation  the input of `decide`
actions      what the operator may do about a schedule
job          the job of one occurrence
"""

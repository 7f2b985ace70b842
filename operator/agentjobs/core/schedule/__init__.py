"""What happens to a schedule next.

decide       observation in, action out
model        a schedule as its object says it
observation  what `decide` looks at
actions      what it may return
job          the job of one occurrence
"""

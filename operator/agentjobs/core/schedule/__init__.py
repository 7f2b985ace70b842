"""What happens to a schedule next.

decide       observation in, verdict out
model        a schedule as its object says it
observation  what `decide` looks at
verdicts     what it may answer
job          the job of one occurrence
"""

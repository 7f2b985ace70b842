"""What happens to a job next.

decide       observation in, verdict out
end_start    its part about a start that is over
observation  what `decide` looks at
ended        what is kept of a job that needs nothing more
verdicts     what it may answer
progress     the status that a verdict leaves behind
policy       the job's own rules for endings
retry        backoff
"""

"""What happens to a job next.

decide       observation in; a need or an action out
holds        its part about what holds back a start, as a list
end_start    its part about a start that has ended
observation  what `decide` looks at
ended        what is kept of a job that needs nothing more
needs        what it may have to know first
actions      what it may do
progress     the status that an action leaves behind
policy       the job's own rules for endings
retry        backoff
"""

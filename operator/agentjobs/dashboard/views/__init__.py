"""What pages show, as values: made from what REST answered and the time. Pure.

bulk          cancelling or running again many jobs
charts        bars and lines over time, drawn as SVG by templates/charts.html
job_filters   what the list of jobs is asked for, in a form and as words
jobs          the list of jobs
namespaces    which namespaces a page is about, and the choice of others
overview      what runs, waits, failed and was used
queues        the state of queues, and their limits in words
reasons       the words of conditions and errors
run_form      the form that runs a template
schedules     the state of schedules, and their calendar
states        the state of an object: a word, a tone and a sentence
templates     what a template runs, and whether it is legal
time_axis     how time is cut into slices, and its labels
urls          addresses of the same page with something changed
"""

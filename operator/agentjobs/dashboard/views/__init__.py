"""What pages show, as values: made from what REST answered and the time. Pure.

actions       what people did, in words
broken_axis   time on an axis with breaks in idle stretches
bulk          cancelling or running again many jobs
charts        bars and lines over time, drawn as SVG by templates/charts.html
documents     YAML and JSON as text
installation  what runs an installation, and what is wrong
job           a job from its object, from history, or from both
job_filters   what the list of jobs is asked for, in a form and as words
jobs          the list of jobs
lineage       jobs before a job and after it
log_lines     what a pod logged
markdown      Markdown of models as HTML that can do nothing
models        keys and limits of models, and what they cost
namespaces    which namespaces a page is about, and the choice of others
overview      what runs, waits, failed and was used
places        where a person looks next
queues        the state of queues, and their limits in words
reasons       the words of conditions and errors
run_form      the form that runs a template
schedules     the state of schedules, and their calendar
states        the state of an object: a word, a tone and a sentence
steps         a job's steps
templates     what a template runs, and whether it is legal
time_axis     how time is cut into slices, and its labels
timeline      a job's time as a picture
transcript    what runners told, as a conversation
urls          addresses of the same page with something changed
"""

"""The content of pages as values, made from answers of REST and the time. Pure.

actions       actions of people
broken_axis   time on an axis with breaks in idle stretches
bulk          cancelling many jobs, or running them again
charts        bars over time, drawn as SVG by templates/charts.html
documents     YAML and JSON as text
installation  processes and problems of an installation
job           a job from its object, from history, or from both
job_filters   filters of the list of jobs
jobs          the list of jobs
lineage       parents and follow-ups of a job
log_lines     lines of a log
markdown      Markdown of models as harmless HTML
models        keys, limits and prices of models
namespaces    the namespaces of a page, and the choice of others
overview      running, waiting and failed jobs, and usage
paging        a list in numbered pages
cause_links   the page to open next
queues        the state of queues, and their limits in words
reasons       meanings of reasons
rerun_form    the form that runs a job again with changes
run_form      the form that runs a template
schedules     the state of schedules, and their calendar
states        the state of an object: a word, a colour and a sentence
step_links    the tool call of a step, and the step of a call
steps         a job's steps
templates     what a template runs, and whether it is valid
time_axis     slices of time, and labels
timeline      the timeline of a job
transcript    the transcript as a conversation
urls          addresses of the same page with something changed
"""

"""The pages: routes that read REST, make a view of the answer, and render it.

actions       actions of people
bulk          cancels many jobs, or runs them again
dependencies  dependencies of routes: REST with the rights of the person, templates
installation  processes, database and problems of the installation
job           a job: what happened, and its tabs
job_actions   actions on one job
job_files     downloads of texts and artifacts of a job
job_reads     reads a job and the parts of its page
job_tabs      what each tab of a job reads
jobs          the list of jobs
models        keys and limits of models, calls in progress, prices, usage
overview      running, waiting and failed jobs, and costs
parameters    refuses query parameters that a page does not have
queues        queues: limits, running and waiting jobs
reasons       what reasons of conditions and errors mean
schedules     schedules: times and jobs
fan_out       one request for each of several namespaces or jobs
templates     templates, and the form that runs one
"""

"""The pages: routes that ask REST, make a view of the answer, and render it.

actions       what people did
asking        what routes ask for: REST with the rights of who is signed in, and templates
bulk          cancels or runs again many jobs
installation  what runs this installation, and what is wrong with it
job           a job: what happened, and its tabs
job_actions   what is done to one job from its page
job_asking    the job itself, and parts of its page that may be missing
job_files     texts and artifacts of a job, whole, as files
job_tabs      what each tab of a job asks for
jobs          the list of jobs
models        keys and limits of models, calls under way, prices, what was spent
overview      what runs, waits, fails and costs
queues        queues: limits, who holds slots and who waits
reasons       what the words of conditions and errors mean
schedules     schedules: times, and the jobs they made
several       asks REST the same several times
templates     templates, and the form that runs one
"""

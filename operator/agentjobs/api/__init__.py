"""The API: models, rules, status, conditions and CRDs. Each kind has a folder. Pure except for the generators.

job             the kind AgentJob
schedule        the kind AgentSchedule
generate        CRDs and reference pages, made from the models
model           the base of all models
changes         when a field may change, declared on the field
fields          types of fields and patterns of texts that they share
raw_status      reading and writing a status as JSON
conditions      condition types, their reasons, phases
error_classes   what each class of errors means
causes          why a job ended or waits, as a clause, and the cure
explain         one sentence about what happened to a job, and the possible actions
known_job       one job from its object, from history, or from both
step_states     the states of a recorded step
events          the reasons of Kubernetes Events, and which are Warnings
recorded        history as the gateway returns it
recorded_sessions  sessions and artifacts as the gateway returns them
recorded_models  providers, prices and limits as the gateway returns them
recorded_overview  overviews of many jobs, and actions, as the gateway returns them
job_filter      the filter of lists of jobs, in URLs and elsewhere
recorded_notifications  notifications as the gateway returns them
recorded_usage  model calls and their costs, as the gateway returns them
problems        problems of a spec, as messages
substitution    `$(…)` in the texts of a spec
composition     texts in which `$(…)` is replaced again later
answers         values of an answer, by path
"""

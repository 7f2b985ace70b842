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
causes          why a job ended or waits, in half a sentence, and what cures it
explain         what happened to a job in one sentence, and what may be done next
known_job       one job from its object, from history, or from both
step_states     what became of a recorded step
events          the reasons of Kubernetes Events, and which are Warnings
recorded        history as the gateway answers it
recorded_sessions  sessions and artifacts as the gateway answers them
recorded_models  providers, prices and limits as the gateway answers them
recorded_overview  many jobs at once, and what is acted on, as the gateway answers it
job_filter      which jobs of a list are wanted, in URLs and everywhere else
recorded_notifications  what sinks were told, as the gateway answers it
recorded_usage  model calls and what they cost, as the gateway answers it
problems        problems of a spec, as messages
substitution    `$(…)` in the texts of a spec
composition     texts that are made for another reader of `$(…)`
answers         values of an answer by their path
"""

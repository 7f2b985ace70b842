"""The API: models, rules, status, conditions and CRDs, a folder a kind. Pure, but for the generators.

job             the kind AgentJob
schedule        the kind AgentSchedule
generate        CRDs and reference pages, made from the models
model           the base of all models
changes         when a field may change: said on the field
fields          types of fields and patterns of texts that they share
raw_status      reading and writing a status as JSON
conditions      condition types, their reasons, phases
error_classes   what each class of errors means
events          the reasons of Kubernetes Events, and which are Warnings
recorded        what history tells users, as the gateway answers it
durations       `1h30m` to timedelta and back; RFC 3339 instants
problems        what is wrong with a spec, in words
substitution    `$(…)` in the texts of a spec
"""

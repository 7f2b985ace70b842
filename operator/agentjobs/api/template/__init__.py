"""AgentTemplate.

spec        parameters, locked fields; the rest is a job's spec
status      the status, and its conditions
parameters  declarations, and the values of a job
validation  checks all rules of a template that can be judged without a job
merge       one spec from queue, template and job, with the origin of each value
read        a job together with its template and the defaults of its queue
"""

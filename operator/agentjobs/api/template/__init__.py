"""AgentTemplate.

spec        parameters, locked fields; the rest is a job's spec
status      whether it is legal
parameters  what is declared, and the values that a job has
validation  checks all rules of a template that can be judged without a job
merge       one spec of what queue, template and job say, and who said what
read        a job together with its template and the defaults of its queue
"""

"""Files made from the models; `make crds` writes them and `make check` compares them.

crd         the CustomResourceDefinitions
structural  their schemas, made from the models
job_rules   the rules of a job's spec
columns     the columns of `kubectl get`
reference   the reference pages
"""

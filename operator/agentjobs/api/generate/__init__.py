"""Files made from the models; `make crds` writes them and `make check` compares them.

crd        the CustomResourceDefinitions
reference  the reference pages
"""

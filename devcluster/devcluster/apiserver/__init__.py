"""An embedded Kubernetes-compatible API server for development and tests. Start reading at `server`.

No product's kinds are built in: custom resources are defined by CustomResourceDefinitions.

    server            listens, authenticates (auth, impersonation), authorizes (rbac), finds the resource (routes,
                      registry)
    handlers          one request about a resource: negotiation (with protobuf) of bodies and forms,
                      lists, streams (watches), logs, reviews, tables (with podstatus, jsonpath)
    core              writes: decoding, metadata, strategies (with claims), lifecycle, patches, podfields
    store             objects, revisions, history
    crds              definitions of custom resources: structural checks their schemas; schema prunes, sets defaults,
                      and validates by validators, formats and CEL rules (with celvalues)
    discovery         with openapi and builtin_schemas: what clients read about the kinds
    kinds             the built-in kinds; errors, selection and syntax are used by all
    faults            for tests
"""

from devcluster.apiserver.faults import Faults
from devcluster.apiserver.server import ApiServer

__all__ = ["ApiServer", "Faults"]

"""An embedded Kubernetes-compatible API server for development and tests. Start reading at `server`.

No product's kinds are built in: custom resources are defined by CustomResourceDefinitions.

    server           listens, authenticates, authorizes, and finds the resource of a request
    auth             certificates, the admin's token, and tokens of service accounts
    impersonation    headers of impersonation, and the rights that they require
    rbac             whether stored roles allow a request
    routes           the path of a request
    registry         the served kinds
    handlers         one request about a resource
    negotiation      formats of bodies and answers
    protobuf         the bodies that kubectl sends as protobuf
    lists            lists of objects
    streams          watches
    logs             logs of pods, from their kubelet
    reviews          kinds that are answered and not stored: tokens, reviews of access
    tables           tables for `kubectl get`
    podstatus        the columns of its table of pods
    jsonpath         the paths of columns
    core             writes: what a request does to an object
    decoding         a client's object, before it is stored
    metadata         checks and completes `metadata`
    strategies       what is special about built-in kinds
    claims           what is special about PersistentVolumeClaims
    lifecycle        generations, deletion, removal
    patches          the three formats of patches
    podfields        the names of a pod's fields
    store            objects, revisions, history
    crds             definitions of custom resources
    structural       checks their schemas
    schema           prunes, sets defaults, validates
    validators       checks of values
    formats          formats of strings
    rules            CEL rules
    celvalues        JSON values for CEL
    discovery        groups, versions and resources
    openapi          the document that `kubectl explain` reads
    builtin_schemas  its schemas of built-in kinds
    kinds            the built-in kinds
    errors           error responses
    selection        selectors of labels and fields
    syntax           names, keys and values of labels
    faults           faults that tests inject
"""

from devcluster.apiserver.faults import Faults
from devcluster.apiserver.server import ApiServer

__all__ = ["ApiServer", "Faults"]

"""What we use of the resources that cert-manager and the Prometheus operator add to Kubernetes.

Narrow schemas: a key that is none of these is a mistake, or belongs here once it has been read up.
"""

from __future__ import annotations

_TEXT = {"type": "string", "minLength": 1}
_HOURS = {"type": "string", "pattern": "^[0-9]+h$"}
_SECONDS = {"type": "string", "pattern": "^[0-9]+[sm]$"}
_LABELS = {"type": "object", "additionalProperties": _TEXT}


def _closed(required, optional=None):
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items):
    return {"type": "array", "items": items, "minItems": 1}


def _resource(version, spec):
    metadata = _closed({"name": _TEXT, "namespace": _TEXT}, {"labels": _LABELS})
    return _closed(
        {"apiVersion": {"const": version}, "kind": _TEXT, "metadata": metadata, "spec": spec}
    )


_CERTIFICATE = _closed(
    {
        "secretName": _TEXT,
        "issuerRef": _closed({"kind": {"enum": ["Issuer", "ClusterIssuer"]}, "name": _TEXT}),
        "duration": _HOURS,
        "renewBefore": _HOURS,
        "privateKey": _closed(
            {"algorithm": {"const": "ECDSA"}, "size": {"enum": [256, 384]}},
            {"rotationPolicy": {"enum": ["Always", "Never"]}},
        ),
    },
    {
        "isCA": {"type": "boolean"},
        "commonName": _TEXT,
        "dnsNames": _list(_TEXT),
        "usages": _list({"enum": ["digital signature", "server auth", "client auth"]}),
    },
)
_ISSUER = {
    "oneOf": [
        _closed({"selfSigned": {"type": "object", "maxProperties": 0}}),
        _closed({"ca": _closed({"secretName": _TEXT})}),
    ]
}
_SERVICE_MONITOR = _closed(
    {
        "selector": _closed({"matchLabels": _LABELS}),
        "endpoints": _list(_closed({"port": _TEXT, "path": _TEXT, "interval": _SECONDS})),
    }
)
_RULE = _closed(
    {
        "alert": _TEXT,
        "expr": _TEXT,
        "labels": _closed({"severity": {"enum": ["warning", "critical"]}}),
        "annotations": _closed({"summary": _TEXT}),
    },
    {"for": {"type": "string", "pattern": "^[0-9]+[mh]$"}},
)
_PROMETHEUS_RULE = _closed({"groups": _list(_closed({"name": _TEXT, "rules": _list(_RULE)}))})

SCHEMAS = {
    "Certificate": _resource("cert-manager.io/v1", _CERTIFICATE),
    "Issuer": _resource("cert-manager.io/v1", _ISSUER),
    "ServiceMonitor": _resource("monitoring.coreos.com/v1", _SERVICE_MONITOR),
    "PrometheusRule": _resource("monitoring.coreos.com/v1", _PROMETHEUS_RULE),
}

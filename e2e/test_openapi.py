"""The running platform answers as the gateway's OpenAPI document says, to nonsense too (schemathesis)."""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from icn_gateway.api.application import API_ROUTES
from icn_gateway.api.document import openapi_document
from icn_kit.min_height import MIN_HEIGHT_KEY
from schemathesis import GenerationMode

EXAMPLES_MAX = 8
"""Per operation; services/gateway tries more on a zone in memory. Here the validators judge the input."""
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]

schema = schemathesis.openapi.from_dict(json.loads(openapi_document(API_ROUTES)))
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.exclude(path="/v1/events").parametrize()  # its answer has no end
@settings(max_examples=EXAMPLES_MAX, suppress_health_check=list(HealthCheck))
def test_the_platform_answers_as_the_document_says(case: schemathesis.Case, platform: Any) -> None:
    # A height that no validator has is 503, rightly and after a wait.
    if case.headers:
        case.headers.pop(MIN_HEIGHT_KEY, None)
    case.call_and_validate(base_url=platform.gateway_url, checks=CHECKS)

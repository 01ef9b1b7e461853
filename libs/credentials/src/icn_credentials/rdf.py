"""RDF canonicalization of JSON-LD documents, on pyld, with bundled contexts only.

The work is bounded: canonicalization takes factorial time on graphs made for it (RDF Dataset
Canonicalization, section 7.1), so blank nodes that look alike are few and the walk over them is counted.
A member that no context defines is refused, since the proof would not cover it.
Source: JSON-LD 1.1 API; RDF Dataset Canonicalization 1.0 (RDFC-1.0 with SHA-256).
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from threading import Lock
from typing import Any, Final

from icn_credentials.faults import InvalidProof
from icn_credentials.json_forms import JsonObject, check_size

CONTEXTS: Final[Mapping[str, str]] = {
    "https://www.w3.org/2018/credentials/v1": "credentials-v1",
    "https://www.w3.org/ns/credentials/v2": "credentials-v2",
    "https://www.w3.org/ns/credentials/examples/v2": "credentials-examples-v2",
    "https://www.w3.org/ns/credentials/undefined-terms/v2": "undefined-terms-v2",
    "https://www.w3.org/ns/credentials/status/v1": "vc-bitstring-status-list-v1",
    "https://www.w3.org/ns/did/v1": "did-v1",
    "https://w3id.org/security/data-integrity/v1": "data-integrity-v1",
    "https://w3id.org/security/data-integrity/v2": "data-integrity-v2",
    "https://w3id.org/security/multikey/v1": "multikey-v1",
    "https://w3id.org/security/suites/ed25519-2020/v1": "ed25519-signature-2020-v1",
    "https://w3id.org/citizenship/v2": "citizenship-v2",
    "https://w3id.org/citizenship/v3": "citizenship-v3",
    "https://w3id.org/citizenship/v4rc1": "citizenship-v4rc1",
}
"""The contexts that are bundled, and their files."""

VALUES_MAX: Final = 5_000
"""Of a document canonicalized as RDF, since expansion costs about 0.1 ms a value."""
QUADS_MAX: Final = 10_000
ALIKE_MAX: Final = 5
"""Blank nodes with the same first-degree hash: 120 orders of them."""
_LOCK: Final = Lock()
WALKS_MAX: Final = 2_000
"""Calls of Hash N-Degree Quads in one canonicalization."""


def canonicalize(document: JsonObject) -> bytes:
    """Canonical N-Quads of a JSON-LD document.

    Raises:
        InvalidProof: an unknown context, a member that no context defines, a document that JSON-LD refuses,
            or one that would take too long.
    """
    check_size(document, "the document", InvalidProof, VALUES_MAX)
    _check_contexts(document)
    with _LOCK:  # pyld's caches are not made for threads
        return _canonical(document)


def _canonical(document: JsonObject) -> bytes:
    from pyld import jsonld  # slow to import, and only these suites need it

    dropped: list[str] = []
    options = {"documentLoader": _load, "processingMode": "json-ld-1.1", "base": ""}
    try:
        expanded = jsonld.expand(document, options, on_property_dropped=dropped.append)
        if dropped:
            raise InvalidProof(f"no context defines {sorted(set(map(str, dropped)))[0][:80]!r}")
        dataset: dict[str, list[Any]] = jsonld.to_rdf(expanded, options)
    except InvalidProof:
        raise
    except jsonld.JsonLdError as error:
        raise InvalidProof(f"not JSON-LD that can be read: {_cause(error)}") from None
    except (RecursionError, TypeError, ValueError, LookupError, AttributeError) as error:
        # pyld trusts the types of keywords' values in places.
        raise InvalidProof(f"not JSON-LD that can be read: {type(error).__name__}") from None
    if sum(map(len, dataset.values())) > QUADS_MAX:
        raise InvalidProof(f"the document has more than {QUADS_MAX} statements")
    canonical: str = _canonicalizer().main(dataset, {"format": "application/n-quads"})
    return canonical.encode()


def _cause(error: BaseException) -> str:
    """The innermost cause, which pyld wraps several times, in one line."""
    found = error
    while isinstance(inner := getattr(found, "cause", None), BaseException):
        found = inner
    return " ".join(str(getattr(found, "args", [found])[0]).split())[:200]


def _check_contexts(document: JsonObject) -> None:
    """Only bundled contexts: one inside the document could give any member another meaning."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "@context" in value:
                named = value["@context"]
                for name in named if isinstance(named, list) else [named]:
                    if not isinstance(name, str) or name not in CONTEXTS:
                        raise InvalidProof(f"context {str(name)[:120]!r} is not bundled")
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _load(url: str, _options: object) -> dict[str, Any]:
    if url not in CONTEXTS:
        raise InvalidProof(f"context {url[:120]!r} is not bundled")
    return {
        "contentType": "application/ld+json",
        "contextUrl": None,
        "documentUrl": url,
        "document": json.loads(_bundled(CONTEXTS[url])),
    }


@cache
def _bundled(name: str) -> bytes:
    return files(__package__).joinpath("contexts", f"{name}.jsonld").read_bytes()


def _canonicalizer() -> Any:
    """pyld's canonicalization with its work counted."""
    from pyld.canon import URDNA2015

    class Counted(URDNA2015):  # type: ignore[misc]  # pyld has no types
        walks = 0

        def hash_n_degree_quads(self, id_: str, issuer: Any) -> Any:
            if self.walks == 0 and max(map(len, self.hash_to_blank_nodes.values()), default=0) > ALIKE_MAX:
                raise InvalidProof(f"more than {ALIKE_MAX} nodes of the document look alike")
            self.walks += 1
            if self.walks > WALKS_MAX:
                raise InvalidProof("the document would take too long to canonicalize")
            return super().hash_n_degree_quads(id_, issuer)

    return Counted()

"""KServe's objects, held against the models that its package was generated from: `kserve_strict.py FILE…`.

Runs where the package `kserve` is installed, which the tests' own environment is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kserve.models
import kubernetes.client
import yaml

_SCALARS: dict[str, tuple[type, ...]] = {"int": (int,), "bool": (bool,), "str": (str,), "float": (int, float)}


def _model(name: str) -> Any:
    base = name.removeprefix("K8sIoApiAppsV1").removeprefix("K8sIoApiAutoscalingV2")
    for candidate in (name, f"V1{base}", f"V2{base}"):
        for module in (kserve.models, kubernetes.client):
            if hasattr(getattr(module, candidate, None), "openapi_types"):
                return getattr(module, candidate)
    return None


def findings(value: Any, kind: str, path: str) -> Iterator[str]:
    """Yield what in `value` is no field of its type, or of another type."""
    if listed := re.fullmatch(r"[Ll]ist\[(.*)\]", kind):
        if not isinstance(value, list):
            yield f"{path}: a list is expected"
            return
        for index, item in enumerate(value):
            yield from findings(item, listed[1], f"{path}/{index}")
    elif mapped := re.fullmatch(r"[Dd]ict[\[(]\w+, ?(.*)[\])]", kind):
        if not isinstance(value, dict):
            yield f"{path}: an object is expected"
            return
        for key, item in value.items():
            yield from findings(item, mapped[1], f"{path}/{key}")
    elif kind in _SCALARS:
        if not isinstance(value, _SCALARS[kind]):
            yield f"{path}: {kind} is expected, not {value!r}"
    elif (model := _model(kind)) is not None:
        if not isinstance(value, dict):
            if kind != "ResourceQuantity":
                yield f"{path}: an object is expected"
            return
        fields = {name: attribute for attribute, name in model.attribute_map.items()}
        for key, item in value.items():
            if key not in fields:
                yield f"{path}/{key}: no field of {kind}"
            else:
                yield from findings(item, model.openapi_types[fields[key]], f"{path}/{key}")


def main(files: list[str]) -> int:
    """Print the findings of all objects of KServe in the files, and return whether there are any."""
    checked, found = 0, 0
    for file in files:
        for document in yaml.safe_load_all(Path(file).read_text(encoding="utf-8")):
            group, _, version = document["apiVersion"].rpartition("/")
            if group == "serving.kserve.io":
                checked += 1
                for finding in findings(document, version.capitalize() + document["kind"], document["kind"]):
                    found += 1
                    print(f"{file}: {finding}")
    print(f"{checked} objects, {found} findings")
    return int(found > 0 or checked == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Renders every case of the chart; see golden.sh."""

import hashlib
import pathlib
import shutil
import sys
import tempfile

import helm_python as helm

HERE = pathlib.Path(__file__).parent
GOLDEN = pathlib.Path(sys.argv[1])


def digest() -> str:
    """Of every file that decides about the output, in order; the test computes the same."""
    total = hashlib.sha256()
    files = [file for part in ("cases", "outrigger", "parent") for file in (HERE / part).rglob("*") if file.is_file()]
    for file in sorted(files, key=lambda file: file.relative_to(HERE).as_posix()):
        total.update(file.relative_to(HERE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def write(name: str, manifests: dict[str, str]) -> None:
    parts = [f"---\n# Source: {path}\n{text.strip()}\n" for path, text in sorted(manifests.items()) if text.strip()]
    text = f"# golden.sh of {digest()}\n" + "".join(parts)
    (GOLDEN / f"helm-{name}.yaml").write_text("\n".join(line.rstrip() for line in text.split("\n")))


for case in sorted((HERE / "cases").glob("*.yaml")):
    values = helm.values_from_yaml(case.read_text())
    with helm.Chart.load(HERE / "outrigger") as chart:
        chart.validate_schema(values)
        write(case.stem, chart.render(values, name="shop", namespace="shop"))

with tempfile.TemporaryDirectory() as directory:
    parent = pathlib.Path(directory) / "parent"
    shutil.copytree(HERE / "parent", parent)
    shutil.copytree(HERE / "outrigger", parent / "charts" / "outrigger")
    with helm.Chart.load(parent) as chart:
        write("parent", chart.render({}, name="shop", namespace="shop"))

with helm.Chart.load(HERE / "outrigger") as chart:
    for wrong in ({"nativeSidecars": True}, {"state": {"kind": "disk"}}, {"inboundPort": "4401"}):
        try:
            chart.render(wrong, name="shop", namespace="shop")
        except helm.HelmError:
            continue
        sys.exit(f"values.schema.json lets {wrong} pass")
print(helm.lint(HERE / "outrigger"))

"""Write requirements.lock and requirements-dev.lock from what is installed in the environment of this Python.

requirements.lock holds what a user of the checkout needs: the dependencies of pyproject.toml, and those of the extras
in USER_EXTRAS. requirements-dev.lock holds all else that is installed: the tools and packages of the extra `dev`.
torch comes first and without its build (+cpu), because `make setup` installs it alone; pip itself is left out.
"""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
USER_EXTRAS = ("classic", "mpe")
OWN = ("pip", "marl-app")


def closure(requirements: list[str], installed: dict[str, object]) -> set[str]:
    """Return the installed packages that these requirements need, with their own requirements, and so on."""
    found: set[tuple[str, str]] = set()
    open_ones = [Requirement(text) for text in requirements]
    while open_ones:
        wanted = open_ones.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *wanted.extras):
            if name not in installed or (name, extra) in found:
                continue
            found.add((name, extra))
            for text in installed[name].requires or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    open_ones.append(needed)
    return {name for name, _ in found}


def main() -> None:
    installed = {canonicalize_name(item.metadata["Name"]): item for item in distributions()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    users = closure([*project["dependencies"], *(line for name in USER_EXTRAS for line in extras[name])], installed)
    lines = {
        name: f"{item.metadata['Name']}=={re.sub(r'[+].*', '', item.version) if name == 'torch' else item.version}"
        for name, item in installed.items()
        if name not in OWN
    }
    ordered = sorted(lines, key=lambda name: (name != "torch", lines[name].lower()))
    files = {"requirements.lock": users, "requirements-dev.lock": lines.keys() - users}
    for file, names in files.items():
        (ROOT / file).write_text("".join(f"{lines[name]}\n" for name in ordered if name in names))


if __name__ == "__main__":
    main()

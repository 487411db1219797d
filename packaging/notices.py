#!/usr/bin/env python3
"""The licences of everything that is linked into the program, as text on standard output. Needs no network after a build.

Fails if a package brings a licence that is not in ALLOWED, or no licence text at all."""

import collections
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ALLOWED = {"0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0",
           "MPL-2.0", "Unicode-3.0", "Unlicense", "Zlib"}
TEXTS = re.compile(r"(?i)^(licen[cs]e|copying|notice|unlicense)")


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """Names and versions of what is linked in, without what only builds or tests it."""
    tree = cargo("tree", "--locked", "--edges", "normal", "--prefix", "none", "--no-dedupe", "--target", target,
                 "--format", "{p}")
    return {tuple(line.split()[:2]) for line in tree.splitlines() if line and "(proc-macro)" not in line}


def is_allowed(expression):
    """Whether an SPDX expression can be met with ALLOWED: of one side of OR, all sides of AND."""
    words = expression.replace("/", " OR ").replace("(", " ").replace(")", " ")
    return any(all(part.strip() in ALLOWED for part in side.split(" AND ")) for side in words.split(" OR "))


def texts(folder):
    return [path for path in sorted(folder.iterdir()) if path.is_file() and TEXTS.match(path.name)]


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else "x86_64-unknown-linux-musl"
    wanted = linked(target)
    metadata = cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target)
    packages = json.loads(metadata)["packages"]
    by_text, problems = collections.defaultdict(list), []
    for package in sorted(packages, key=lambda package: (package["name"], package["version"])):
        key = (package["name"], "v" + package["version"])
        if key not in wanted or package["source"] is None:
            continue
        licence = package["license"] or ""
        title = f"{package['name']} {package['version']} ({licence})"
        if not is_allowed(licence):
            problems.append(f"{title}: not an allowed licence")
        folder = pathlib.Path(package["manifest_path"]).parent
        found = texts(folder)
        if not found:
            authors = ", ".join(package["authors"]) or "its authors"
            by_text[f"Copyright {authors}. Its package holds no text of its licence: {licence}."].append(title)
        for path in found:
            by_text[path.read_text(errors="replace").strip()].append(title)
    if problems:
        sys.exit("\n".join(problems))
    print("molecule-mcp holds these packages, unchanged and each under its own licence. The source of each is published")
    print("under its name and version in the registry of Rust packages.\n")
    for text, titles in by_text.items():
        print("=" * 100)
        print("\n".join(dict.fromkeys(titles)))
        print("-" * 100)
        print(text + "\n")


if __name__ == "__main__":
    main()

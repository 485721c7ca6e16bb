"""Every citation of a specification or of a claim, names a section or a claim that exists."""

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECS = {path.name: path.read_text() for path in sorted((ROOT / "docs/specs").glob("*.md"))}
SECTIONS = {
    name: {number.rstrip(".") for number in re.findall(r"(?m)^#{2,} (\d+(?:\.\d+)*\.?) ", text)}
    for name, text in SPECS.items()
}
CLAIMS = set(re.findall(r"(?m)^\| ([ABX]\d+) \|", (ROOT / "docs/claims.md").read_text()))

NUMBER = r"\d+(?:\.\d+)*(?![\w%])"
JOIN = r"(?:, and |, | and | or | to |-)"
# "spec escaip.md 3.1", "specs segnn.md 4 and 7, egno.md 4.2", "docs/specs/voxmol.md, sections 3.2, 3.3 and 11"
OF_A_FILE = re.compile(rf"\b([a-z]\w*\.md),? (?:sections? )?({NUMBER}(?:{JOIN}{NUMBER})*)")
FILE = re.compile(r"\bspecs?[ /](\S+?\.md)\b")
WITHOUT_A_FILE = re.compile(r"\bspecs?,? (?:sections? )?\d[\d.]*", re.IGNORECASE)
# "claim X2", "claims A11, B4 and B10", "(A4)", "(A4, X1)"
ID = r"[A-Z]\d+"
OF_CLAIMS = re.compile(rf"\b[Cc]laims? ({ID}(?:{JOIN}{ID})*)\b|\(([ABX]\d+(?:{JOIN}[ABX]\d+)*)\)")


def unresolved(text: str) -> list[str]:
    """What a text cites and docs/ does not have, each as a sentence."""
    text = re.sub(r"\s*\n\s*(?:# ?)?", " ", text)
    found = [f"{match[0]!r} names no file" for match in WITHOUT_A_FILE.finditer(text)]
    found += [
        f"{match[0]!r}: no such file in docs/specs" for match in FILE.finditer(text) if match[1] not in SPECS
    ]
    for match in OF_A_FILE.finditer(text):
        if match[1] not in SPECS:
            found.append(f"{match[0]!r}: no such file in docs/specs")
            continue
        for number in re.findall(NUMBER, match[2]):
            if number not in SECTIONS[match[1]]:
                found.append(f"{match[0]!r}: {match[1]} has no section {number}")
    for match in OF_CLAIMS.finditer(text):
        for claim in re.findall(ID, match[1] or match[2]):
            if claim not in CLAIMS:
                found.append(f"{match[0]!r}: docs/claims.md has no claim {claim}")
    return found


def citing(path: Path) -> str:
    """The text of a file in which citations stand: of Python its comments and strings, of others all of it."""
    text = path.read_text()
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join(token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING))


def tracked() -> list[Path]:
    patterns = ("*.py", "*.yaml", "*.smk", "*.md", "*.toml", "Snakefile")
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    paths = [ROOT / line for line in listed.splitlines()]
    return [path for path in paths if path.is_file() and path != Path(__file__)]


def test_every_citation_resolves() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("the list of files is git's, and this is no checkout")
    wrong = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in tracked()
        # The ledger and the specifications speak of the papers' own sections, and of each other by file.
        for fault in unresolved(citing(path))
        if not (path.is_relative_to(ROOT / "docs") and "names no file" in fault)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_documents_have_sections_and_claims() -> None:
    assert all(SECTIONS.values()), SECTIONS
    assert {"3.1", "3", "5.4"} <= SECTIONS["escaip.md"]
    assert {"A1", "A20", "B1", "B12", "X1", "X7"} <= CLAIMS


@pytest.mark.parametrize(
    "text",
    [
        "A network (spec escaip.md section 3).",
        "spec escaip.md 2.5 and 3.1",
        "specs segnn.md 4 and 7, egno.md 4.2 and 4.4, relaxation.md 3.2",
        "docs/specs/egno.md 3.4 to 3.6",
        "spec vn_pointnet.md 2.2, 2.3, 5",
        "spec vn_pointnet.md 3.1, 3.2 steps 1-3",
        "spec escaip.md 3.1-3.5",
        "# a comment that wraps (specs proteina.md\n    # 2.1 and 2.2)",
        "claims A11, B4, B5 and B10 (X2)",
        "in spec recm.md, preamble",
        "self.md5[:2], 3",
        "claims of 3 kinds; specification 3.1",
    ],
)
def test_citations_as_they_are_written_resolve(text: str) -> None:
    assert unresolved(text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("spec escaip.md 3.14", "no section 3.14"),
        ("spec escaip.md section 30", "no section 30"),
        ("spec escaip.md 2.5 and 3.19", "no section 3.19"),
        ("spec escaip.md sections 4, 5 and 55", "no section 55"),
        ("spec egno.md 3.4 to 3.66", "no section 3.66"),
        ("specs segnn.md 4, egnoo.md 4.2", "no such file"),
        ("# wraps (spec proteina.md\n# 99)", "no section 99"),
        ("see specs/nothing.md", "no such file"),
        ("spec nothing.md", "no such file"),
        ("the head (spec 3.6)", "names no file"),
        ("Spec section 9", "names no file"),
        ("claim X99", "no claim X99"),
        ("claims A11 and X44", "no claim X44"),
        ("claims A11, Q3", "no claim Q3"),
        ("it dips (A44)", "no claim A44"),
    ],
)
def test_a_wrong_citation_is_found(text: str, fault: str) -> None:
    assert any(fault in sentence for sentence in unresolved(text)), unresolved(text)

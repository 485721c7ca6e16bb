"""Which chains are too alike to be in different splits, and the splits."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from data.digest import name_digest
from data.errors import DataError
from data.pdb.chains import Chain


def read_clusters(path: Path) -> dict[str, str]:
    """Chain -> representative, from the table that mmseqs easy-cluster writes: representative TAB member.

    Entries are compared in lower case: 1ABC_A is 1abc_A.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cluster file {path} cannot be read ({error}): make it with mmseqs easy-cluster"
        ) from error
    clusters = {}
    for k, line in enumerate(lines, 1):
        words = line.split("\t")
        if len(words) != 2 or not all(words):
            raise DataError(
                f"cluster file {path}, line {k}: not a representative and a member with a tab between them"
            )
        clusters[_name(words[1])] = _name(words[0])
    if not clusters:
        raise DataError(f"cluster file {path} is empty")
    return clusters


def _name(text: str) -> str:
    entry, _, chain = text.rpartition("_")
    return f"{entry.lower()}_{chain}"


def group_chains(
    chains: Sequence[Chain], clusters: Mapping[str, str] | None, by_entry: bool
) -> tuple[list[str], str]:
    """(name of every chain's group, how the groups were made, for captions).

    With clusters a group is a cluster; a chain outside all clusters is a group of its own. Without clusters, chains
    with equal sequences (SEQRES where it is known) are in one group, with `by_entry` also all chains of one
    structure, and so are chains that a sequence of such pairs connects.
    """
    if clusters is not None:
        names = [_name(f"{chain.entry}_{chain.chain}") for chain in chains]
        alone = sum(name not in clusters for name in names)
        text = "sequence clusters read from a file" + (f", {alone} chains in none" if alone else "")
        return [clusters.get(name, name) for name in names], text
    parent: dict[str, str] = {}
    for chain in chains:
        keys = [f"chain {chain.entry}_{chain.chain}"]
        sequence = chain.seqres or chain.sequence
        keys += [f"sequence {sequence}"] if sequence else []
        keys += [f"entry {chain.entry}"] if by_entry else []
        for key in keys[1:]:
            root = _root(keys[0], parent)
            parent[_root(key, parent)] = root
    groups = [_root(f"chain {chain.entry}_{chain.chain}", parent) for chain in chains]
    return groups, _grouping(chains, by_entry)


def _grouping(chains: Sequence[Chain], by_entry: bool) -> str:
    """How groups were made without clusters."""
    kinds = [
        *["SEQRES sequences"] * any(chain.seqres for chain in chains),
        *["sequences"] * any(chain.sequence and not chain.seqres for chain in chains),
        *["structures"] * by_entry,
    ]
    if not kinds:
        return "random splits; no sequences"
    return f"random splits that no two equal {' or '.join(kinds)} straddle; no sequence clusters"


def _root(key: str, parent: dict[str, str]) -> str:
    while (above := parent.setdefault(key, key)) != key:
        parent[key] = parent[above]
        key = above
    return key


def split_groups(groups: Collection[str], validation: float, test: float, seed: int) -> dict[str, str]:
    """Group -> split, drawn from (seed, name). Shares are shares of the groups; one above 0 gets at least one group."""
    ordered = sorted(set(groups), key=lambda group: name_digest(group, seed))
    counts = [max(round(share * len(ordered)), 1) if share else 0 for share in (validation, test)]
    ends = counts[0], sum(counts)
    return {
        group: "validation" if k < ends[0] else "test" if k < ends[1] else "train"
        for k, group in enumerate(ordered)
    }

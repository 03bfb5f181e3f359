"""`robustrec evidence`: pack a report with its raw arrays, sign the pack, and verify packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustrec.cli import options
from robustrec.cli.terminal import data_console, finishing, say
from robustrec.errors import EXIT_BREACH, EXIT_PASS
from robustrec.files import check_outputs, write_atomically
from robustrec.sheet import Sheet
from robustrec.streams import write_json
from robustrec.units import size_text

if TYPE_CHECKING:
    from collections import Counter

    from robustrec.evidence.verify import Verified


class _Group(options.OldNames):
    """A group of commands in which `pack` may be left out: `robustrec evidence REPORT --output pack.zip`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; those that begin with no command are those of `pack`."""
        if args and args[0] not in ("pack", "verify", "keygen", "--help", "-h"):
            args = ["pack", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(no_args_is_help=True, cls=_Group)


@app.command()
def pack(
    report: options.ReportName,
    output: Annotated[Path, typer.Option(help="Zip to write.", show_default=False)],
    operator: Annotated[str, typer.Option(help="Who makes the pack: a person, a team, or a job.")] = "",
    key: Annotated[
        Path | None,
        typer.Option(help="Ed25519 private key that signs the pack (needs the extra evidence).", show_default=False),
    ] = None,
    home: options.Home = None,
    quiet: options.Quiet = False,
) -> None:
    """Pack a report with its raw arrays, plan, provenance, method, limits and waivers; the word pack may be omitted."""
    from robustrec.evidence.pack import pack_of

    path = options.report_file(report, home)
    check_outputs([("--output", output)], [("REPORT", path), ("--key", key)])
    signer = None
    if key is not None:
        from robustrec.evidence.signing import read_private_key, readable_by_others

        signer = read_private_key(key)
        if readable_by_others(key):
            say(f"warning: other users can read the private key: chmod 600 {key}", quiet=quiet)
    data, packed, manifest = pack_of(path, operator=operator, key=signer)
    write_atomically(output, data)
    signed = f"signed by {manifest.signed_by}" if manifest.signed_by else "not signed"
    say(f"{len(manifest.files)} files, {size_text(len(data))}, {signed}: {output}", quiet=quiet)
    say(f"verdict of the report: {packed.verdict.upper()}", quiet=quiet)


@app.command()
def verify(
    pack: Annotated[Path, typer.Argument(metavar="PACK", help="The zip of an evidence pack.", show_default=False)],
    public_key: Annotated[
        Path | None,
        typer.Option(help="Ed25519 public key that must have signed the pack.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Verify a pack and recompute its numbers from the raw arrays. Exit codes: 0 verified, 1 refused, 2 unusable."""
    from robustrec.evidence.verify import RefusedError
    from robustrec.evidence.verify import verify as verified_pack

    key = None
    if public_key is not None:
        from robustrec.evidence.signing import read_public_key

        key = read_public_key(public_key)
    try:
        found = verified_pack(pack, key=key)
    except RefusedError as refused:
        with finishing(EXIT_BREACH):
            if as_json:
                write_json({"verified": False, "reasons": list(refused.reasons)})
            else:
                lines = [["REFUSED", str(pack)], *(["reason", reason] for reason in refused.reasons)]
                Sheet(data_console()).table([], lines, ruled=False, numbers_from=2, indent=0)
        return
    with finishing(EXIT_PASS):
        if as_json:
            write_json(_facts(found))
        else:
            _print_verified(Sheet(data_console()), pack, found)


@app.command()
def keygen(
    output: Annotated[Path, typer.Option(help="Private key to write; the public key gets .pub.pem.")] = Path(
        "evidence-key.pem"
    ),
    quiet: options.Quiet = False,
) -> None:
    """Make a pair of Ed25519 keys; the private key gets mode 0600, and no file is overwritten."""
    from robustrec.evidence.signing import make_keys

    public, fingerprint = make_keys(output)
    say(f"private key {output}: keep it secret", quiet=quiet)
    say(f"public key {public}: give it to who verifies packs; fingerprint {fingerprint}", quiet=quiet)


def _facts(found: Verified) -> dict[str, Any]:
    return {
        "verified": True,
        "verdict": found.report.verdict,
        "signed_by": found.key or None,
        "key_expected": found.expected,
        "numbers": {
            "recomputed": dict(found.numbers.from_arrays),
            "not_recomputed": dict(found.numbers.stated),
            "derived": dict(found.derived),
        },
        "notes": list(found.notes),
    }


def _print_verified(sheet: Sheet, pack: Path, found: Verified) -> None:
    report, numbers = found.report, found.numbers
    signature = f"valid, by the expected key {found.key}"
    if not found.key:
        signature = "none: whoever has this file can have made it"
    elif not found.expected:
        signature = f"valid, by the key {found.key}, which is in the pack itself: compare it, or use --public-key"
    lines = [
        ["VERIFIED", str(pack)],
        ["report", f"{report.verdict.upper()}: {report.verdict_reason}"],
        ["", f"data set {report.dataset.name}, suite {report.suite.name}, run ended {report.created:%F %R} UTC"],
        ["operator", found.manifest.operator or "not given"],
        ["signature", signature],
    ]
    if report.planned is not None:
        when = f"{report.planned.time:%F %R} UTC"
        lines.append(["plan", f"recorded by robustrec before the run, {when}: same suite, criteria, data and seeds"])
    derived = ", ".join(f"{name} {n:,}" for name, n in found.derived.items() if n)
    lines += [
        ["recomputed", f"{_counts(numbers.from_arrays)} from the raw arrays"],
        ["derived", f"{derived}, again from the findings"],
        ["not checked", f"{_counts(numbers.stated)}: the pack has no raw arrays of these numbers"],
        *(["note", note] for note in found.notes),
    ]
    sheet.table([], lines, ruled=False, numbers_from=2, indent=0)


def _counts(found: Counter[str]) -> str:
    listed = ", ".join(f"{name} {n:,}" for name, n in found.items() if n)
    return f"{found.total():,} numbers{f' ({listed})' if listed else ''}"

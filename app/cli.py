"""The command `unitscope`.

Nothing heavy is imported until a command needs it: `--help` answers at once, and only `index`
brings in torch.
"""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from app.errors import AppError

app = typer.Typer(
    help="Look into language models: every neuron and SAE latent on a page of its own.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
database = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(database, name="db")
jobs = typer.Typer(help="Indexing under way and done.")
app.add_typer(jobs, name="jobs")
token = typer.Typer(help="Tokens: who may write.", no_args_is_help=True)
app.add_typer(token, name="token")
export = typer.Typer(help="What people wrote, as lines of JSON.", no_args_is_help=True)
app.add_typer(export, name="export")
import_ = typer.Typer(help="What was exported, into this database.", no_args_is_help=True)
app.add_typer(import_, name="import")

Host = Annotated[
    str | None, typer.Option(help="Address to listen on (UNITSCOPE_HOST, else 127.0.0.1).")
]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port (UNITSCOPE_PORT, else 8000).")
]

ModelName = Annotated[str, typer.Argument(help="The model's name in addresses.")]
Out = Annotated[str, typer.Option(help="A file; - is the standard output.")]
Exported = Annotated[str, typer.Argument(help="What was exported; - is the standard input.")]
Job = Annotated[int, typer.Argument(help="The job's number.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Runs the command; a failure that a person can mend is one line and exit status 1."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        app()
    except AppError as error:
        print(f"unitscope: {error.message}", file=sys.stderr)
        raise SystemExit(1) from error


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends as on Ctrl-C: work in hand is undone and the embedded database is left in order."""
    raise SystemExit(128 + number)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        print(f"unitscope {version('unitscope')}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Look into language models: every neuron and SAE latent on a page of its own."""


@app.command()
def demo(
    port: Port = None,
    host: Host = None,
    is_served: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Serve the site when the index is done.")
    ] = True,
) -> None:
    """Index the shipped model over Python's standard library, and serve the site."""
    from app import demo, serving

    place = serving.place(host, port)
    if is_served:
        place.check_free()
    demo.make()
    if is_served:
        serving.serve(place, n_workers=1)


@app.command()
def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
) -> None:
    """Serve the site."""
    from app import db, serving

    place = serving.place(host, port)
    place.check_free()
    db.ready()
    serving.serve(place, n_workers=workers)


@app.command()
def index(
    model: Annotated[str, typer.Argument(help="A hub id, or a directory in Hugging Face format.")],
    corpus: Annotated[
        str,
        typer.Option(
            help="A text, JSONL or Parquet file, a directory of them, "
            "hf:DATASET[:CONFIG][:SPLIT], or stdlib."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="The model's name in addresses.")] = None,
    corpus_name: Annotated[str | None, typer.Option(help="The corpus's name.")] = None,
    text_field: Annotated[str, typer.Option(help="Field of JSONL or Parquet.")] = "text",
    neurons: Annotated[str, typer.Option(help="Layers: all, none, or 0,3-5.")] = "all",
    sae: Annotated[
        list[str] | None,
        typer.Option(help="A directory that SAELens wrote, or saelens:RELEASE:ID. Repeatable."),
    ] = None,
    sae_name: Annotated[
        list[str] | None, typer.Option(help="Name of the SAE given in the same place. Repeatable.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many tokens of the corpus.")
    ] = None,
    context: Annotated[int, typer.Option(min=2, help="Tokens in a window.")] = 128,
    bos: Annotated[
        str, typer.Option(help="Put a BOS before each window: auto, yes or no.")
    ] = "auto",
    pack: Annotated[bool, typer.Option("--pack", help="Windows may cross documents.")] = False,
    top_k: Annotated[int, typer.Option(min=1, max=200, help="Strongest examples a unit.")] = 20,
    atlas_tokens: Annotated[
        int, typer.Option(min=1, help="Size of the uniform sample for intervals.")
    ] = 65536,
    seed: Annotated[int, typer.Option(min=0, help="Of the uniform sample.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    revision: Annotated[str | None, typer.Option(help="The hub's branch, tag or commit.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Allow the model's own code to run.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(help="random-weights: the same architecture, with weights drawn at random."),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait/--detach", help="Run here until done, or leave it to the workers."),
    ] = True,
    priority: Annotated[
        int, typer.Option(min=-100, max=100, help="Jobs of higher priority come first.")
    ] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use (default: all).")
    ] = None,
    remember: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Scan a corpus with a model: what do its neurons and SAE latents respond to?

    Running the same command again does no work twice; after an interruption it takes up the work.
    """
    options = locals()
    from app import indexing, serving

    fingerprint = options.pop("remember")
    options |= {"saes": options.pop("sae") or [], "sae_names": options.pop("sae_name") or []}
    print(f"{serving.place(None, None).url}{indexing.index(options, fingerprint)}")


@app.command()
def label(
    model: Annotated[str, typer.Argument(help="A model that is indexed, by its name.")],
    corpus: Annotated[
        str | None, typer.Option(help="Only what was scanned over it; by default everything.")
    ] = None,
) -> None:
    """Label a model's units by the rules that explain most of them.

    That happens by itself after every scan; this does it again, or for scans of earlier versions.
    """
    from app.labels import commands

    commands.label(model, corpus)


@app.command()
def loss(
    place: Annotated[str, typer.Argument(help="MODEL/SOURCE/INDEX; with --units MODEL/SOURCE.")],
    rules: Annotated[
        list[str] | None, typer.Argument(metavar="RULE...", help="Rules, on one line or as JSON.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="A file of lines INDEX, tab, RULE; - reads the input.")
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="By default that of the newest scan.")] = None,
    windows: Annotated[int, typer.Option(min=1, help="Windows of the sample at most.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the windows, and of the intervals.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:1.", show_default="auto")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Allow the model's own code to run.")
    ] = False,
    is_detached: Annotated[
        bool, typer.Option("--detach", help="Leave it to workers; print where to look.")
    ] = False,
    is_json: AsJson = False,
) -> None:
    """Measure how much of a unit's part in the model's loss a rule recovers."""
    from app.evidence import commands

    where = commands.Where(windows, seed, device, trust_remote_code, is_detached)
    commands.loss(place, rules or [], units, corpus, where, is_json=is_json)


@app.command()
def worker(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use (default: all).")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Allow models' own code to run.")
    ] = False,
    is_once: Annotated[
        bool, typer.Option("--once", help="End when there is nothing left to do.")
    ] = False,
) -> None:
    """Carry out jobs: start as many workers, on as many machines, as there are.

    SIGTERM and Ctrl-C end it within seconds; what it had scanned is stored, the rest handed back.
    """
    from app import indexing

    indexing.work(
        {
            "device": device,
            "n_threads": threads,
            "trust_remote_code": trust_remote_code,
            "is_once": is_once,
        }
    )


@jobs.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    is_all: Annotated[bool, typer.Option("--all", help="All jobs, however old.")] = False,
    is_json: AsJson = False,
) -> None:
    """Indexing under way and done: without a command, the unfinished jobs and the newest others."""
    if context.invoked_subcommand is None:
        from app.jobs import commands

        commands.list_jobs(is_all=is_all, is_json=is_json)


@jobs.command("show")
def show_job(job: Job, is_json: AsJson = False) -> None:
    """Show one job: how far it is, who works on it, what went wrong."""
    from app.jobs import commands

    commands.show(job, is_json=is_json)


@jobs.command("cancel")
def cancel_job(job: Job) -> None:
    """End a job that is not complete, and drop what it left."""
    from app.jobs import commands

    commands.cancel(job)


@jobs.command("retry")
def retry_job(job: Job) -> None:
    """Queue a failed job again; workers go on from what is stored."""
    from app.jobs import commands

    commands.retry(job)


@token.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="Whose it is; stands beside what it writes.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may write: explanations, hypotheses or jobs. Repeatable."),
    ] = None,
) -> None:
    """Make a token, and print its secret, this once."""
    from app.access import commands

    commands.create(name, scope or [])


@token.command("list")
def list_tokens(is_json: AsJson = False) -> None:
    """List the tokens, without their secrets."""
    from app.access import commands

    commands.list_tokens(is_json=is_json)


@token.command("revoke")
def revoke_token(name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Take a token back."""
    from app.access import commands

    commands.revoke(name)


@export.command("hypotheses")
def export_hypotheses(model: ModelName, out: Out = "-") -> None:
    """Write a model's hypotheses with their figures, one a line."""
    from app.notes import commands

    commands.export("hypotheses", model, out)


@export.command("explanations")
def export_explanations(model: ModelName, out: Out = "-") -> None:
    """Write what people said of a model's units, one explanation a line."""
    from app.notes import commands

    commands.export("explanations", model, out)


@import_.command("hypotheses")
def import_hypotheses(file: Exported) -> None:
    """Add exported hypotheses to units of the same weights, all of them or none."""
    from app.notes import commands

    commands.import_("hypotheses", file)


@import_.command("explanations")
def import_explanations(file: Exported) -> None:
    """Add exported explanations to units of the same weights, all of them or none."""
    from app.notes import commands

    commands.import_("explanations", file)


@database.command("upgrade")
def upgrade() -> None:
    """Bring the database's schema to this version."""
    from app import db

    engine = db.get_engine()
    db.upgrade(engine)
    print("The database is at this version of Unitscope.")


@app.command()
def doctor(port: Port = None) -> None:
    """Tell what is wrong with this set-up, and how to mend it."""
    from app.doctor import examine

    if not examine(port):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()

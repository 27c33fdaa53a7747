"""charrnn info: what model files hold, and how their training went."""

import sys

from charrnn.checkpoint.paths import named_model
from charrnn.cli import options
from charrnn.cli.options import option
from charrnn.cli.streams import Output
from charrnn.core.errors import UsageError
from charrnn.terminal.streams import Color


def info(
    name: list[str] | None = options.argument(
        "MODEL", "Models, like --model; several are set side by side.", autocompletion=options.model_names
    ),
    model: str | None = options.MODEL,
    all_: bool = option("--all", "List the models in checkpoints/, the newest first.", False),
    svg: str | None = option("--svg FILE", "Write the loss curves to an SVG file."),
    csv: str | None = option("--csv FILE", "Write the loss curves to a CSV file."),
    toml: bool = option("--toml", "Write the settings as a file for train --config.", False),
    json: bool = options.JSON,
    quiet: bool = options.QUIET,
    color: Color = options.COLOR,
    debug: bool = options.DEBUG,
) -> None:
    """Show what a model file holds.

    For example:

    \b
    charrnn info novel
    charrnn info novel poems
    charrnn info --all
    charrnn info novel --toml > settings.toml
    charrnn info novel --svg loss.svg --csv loss.csv
    """
    names = [*(name or []), *([model] if model is not None else [])]
    files = {name: file for name, file in {"--svg": svg, "--csv": csv}.items() if file is not None}
    if all_ and (names or toml or files):
        raise UsageError("--all lists every model: leave out the names, --toml, --svg and --csv")
    if toml and (json or len(names) > 1):
        raise UsageError("--toml writes the settings of one model: leave out --json and further models")
    from charrnn.checkpoint.store import CheckpointStore
    from charrnn.cli.losses import check_files, curves, loss_chart, save_losses
    from charrnn.cli.model_table import comparison, listing
    from charrnn.cli.settings_sources import toml_text
    from charrnn.cli.summary import model_record, model_rows
    from charrnn.terminal.card import card

    output = Output(json, quiet)
    if all_:
        return listing(output)
    paths = [named_model(each, "--model") for each in names] or [options.existing_model(None, quiet)]
    states = [CheckpointStore(path).load() for path in paths]
    found = dict(zip(map(str, paths), states, strict=True))
    check_files(files, found)
    if json:
        for path, state in zip(paths, states, strict=True):
            output.record(model_record(path, state, path.stat().st_size))
    elif toml:
        output.write(toml_text(states[0]))
    elif len(paths) > 1:
        comparison(paths, states, output)
    else:
        output.raw(card(str(paths[0]), model_rows(states[0], paths[0].stat().st_size), sys.stdout))
        output.raw(loss_chart(curves(states[0]), sys.stdout))
    save_losses(files, found, output)

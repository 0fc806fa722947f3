"""Options that several commands share; those of every package are in `trigate.command_line`."""

from pathlib import Path
from typing import Annotated

import typer

Market = Annotated[str | None, typer.Option(help="Contract of the bars; default: from the file's name, else NQ.")]
Seconds = Annotated[Path | None, typer.Option(help="One-second bars of the same market and time.")]
Timezone = Annotated[str | None, typer.Option(help="Zone of naive times in the file, such as America/New_York.")]

"""`python -m wsi_embed`."""

import sys


def run() -> None:
    """Run the command line; Ctrl-C while it is imported ends it without a traceback."""
    try:
        from wsi_embed.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()


if __name__ == "__main__":
    run()

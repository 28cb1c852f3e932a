"""`python -m wsi_embed`."""

import sys

if __name__ == "__main__":
    try:
        from wsi_embed.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    main()

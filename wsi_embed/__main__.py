"""`python -m wsi_embed`."""

from wsi_embed.cli import main

if __name__ == "__main__":
    main()

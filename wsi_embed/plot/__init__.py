"""Pictures: cluster maps with annotators' contours, and contact sheets of clusters."""

from wsi_embed.plot.bag import draw_views, plot_bag
from wsi_embed.plot.colours import class_colours, cluster_colour
from wsi_embed.plot.legend import store_legend
from wsi_embed.plot.save import FORMATS, save_picture
from wsi_embed.plot.sheet import contact_sheet

__all__ = [
    "FORMATS",
    "class_colours",
    "cluster_colour",
    "contact_sheet",
    "draw_views",
    "plot_bag",
    "save_picture",
    "store_legend",
]

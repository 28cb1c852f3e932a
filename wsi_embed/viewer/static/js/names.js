// Changes of names and colours of clusters, each to the revision that this page shows.
import { ApiError, post, still } from "./api.js";

export class Names {
  /** Why the last change was refused; null if it was not. */
  refused = null;

  constructor(app) {
    this.app = app;
    app.on("store", () => (this.refused = null));
  }

  /** The revision, and whether a step can be undone or redone; null if the names cannot be changed. */
  get state() {
    return this.app.clusters.names ?? null;
  }

  get writable() {
    return !still && !this.app.session?.read_only && this.state !== null;
  }

  /** The refusal of the last change, or why the names cannot be read; null for neither. */
  get error() {
    const { problem } = this.app.clusters;
    return this.refused ?? (problem ? new ApiError(problem) : null);
  }

  /** Change names: `rename`, `recolour`, `merge`, `undo` or `redo`. After a refusal the present names are shown. */
  async change(edit, values = {}) {
    const { store } = this.app;
    try {
      const found = await post(`api/stores/${store}/clusters`, { edit, revision: this.state.revision, ...values });
      this.refused = null;
      this.app.takeClusters(store, found);
    } catch (error) {
      if (store !== this.app.store) return this.app.emit("notice", error.message);
      this.refused = error;
      await this.app.refreshClusters();
    }
    this.app.emit("names");
  }
}

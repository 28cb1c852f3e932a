// Changes of names and colours of clusters, each to the revision that this page has seen.
import { get, post, still } from "./api.js";

export class Names {
  state = null;
  error = null;

  constructor(app) {
    this.app = app;
    app.on("store", () => this.refresh());
  }

  get path() {
    return `api/stores/${this.app.store}/names`;
  }

  get writable() {
    return !still && !this.app.session?.read_only && this.state !== null;
  }

  /** Ask for the revision, and for the names. */
  async refresh() {
    this.state = this.error = null;
    try {
      if (this.app.session.stores[this.app.store].clusters && !still) this.state = await get(this.path);
    } catch (error) {
      this.error = error;
    }
    this.app.emit("names");
  }

  /** Change names: `rename`, `recolour`, `merge`, `undo` or `redo`. After a refusal the present names are shown. */
  async change(edit, values = {}) {
    try {
      this.state = await post(this.path, { edit, revision: this.state.revision, ...values });
      this.error = null;
    } catch (error) {
      await this.refresh();
      this.error = error;
    }
    await this.app.refreshClusters();
    this.app.emit("names");
  }
}

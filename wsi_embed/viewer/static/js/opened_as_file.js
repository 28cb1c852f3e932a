// A page that was opened as a file cannot read its own files: say what to do instead.
if (location.protocol === "file:")
  document.addEventListener("DOMContentLoaded", () => {
    const box = document.getElementById("message");
    box.textContent = "Browsers do not let a page read files beside it. Start a web server in this folder, for example with “python3 -m http.server”, and open http://localhost:8000/.";
    box.hidden = false;
  });

"use strict";
(() => {
  const form = document.getElementById("upload");
  const input = form.querySelector("input");
  const list = document.getElementById("transfers");
  const waiting = [];
  let running = false;
  let changed = false;

  const element = (name, parent, text = "") => {
    const made = parent.appendChild(document.createElement(name));
    made.textContent = text;
    return made;
  };

  const send = (file) => new Promise((resolve) => {
    const { row, state, bar } = file;
    const request = new XMLHttpRequest();
    const end = (how, text) => {
      row.className = how;
      state.textContent = text;
      changed ||= how === "done";
      resolve();
    };
    request.open("POST", location.pathname);
    request.setRequestHeader("Accept", "application/json, text/plain");
    request.upload.onprogress = (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      state.textContent = `${Math.floor(100 * bar.value)} %`;
    };
    request.onload = () => {
      const ok = request.status >= 200 && request.status < 300;
      const reason = request.responseText.trim() || `status ${request.status}`;
      if (ok) bar.value = 1;
      end(ok ? "done" : "failed", ok ? "done" : reason);
    };
    request.onerror = () => end("failed", "the connection was lost");
    const body = new FormData();
    body.append("file", file.file);
    request.send(body);
  });

  // Shows what is there now. Why a file was refused stays to be read.
  const refresh = async () => {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of ["#summary", "#listing"]) {
      document.querySelector(part).replaceWith(fresh.querySelector(part));
    }
  };

  const run = async () => {
    if (running) return;
    running = true;
    while (waiting.length) {
      while (waiting.length) await send(waiting.shift());
      // Without a connection the listing stays as it was.
      if (changed) await refresh().catch(() => {});
      changed = false;
    }
    running = false;
  };

  const add = (files) => {
    if (!running) list.textContent = "";
    for (const file of files) {
      const row = element("li", list);
      element("bdi", row, file.name);
      const state = element("span", row, "waiting");
      const bar = element("progress", row);
      bar.value = 0;
      waiting.push({ file, row, state, bar });
    }
    if (waiting.length) run();
  };

  form.classList.add("scripted");
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    add(event.dataTransfer.files);
  });
})();

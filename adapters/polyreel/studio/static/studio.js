// What the pages do beside htmx. Without it they still show what their address holds.
"use strict";
(() => {
  const base = document.body.dataset.base;
  const form = () => document.getElementById("request");
  const replan = () => form() && htmx.trigger(form(), "replan");

  const notice = (text) => {
    const told = document.getElementById("notices");
    if ([...told.children].some((one) => one.textContent === text)) return; // pages ask again and again
    const shown = document.createElement("p");
    shown.textContent = text;
    told.append(shown);
    setTimeout(() => shown.remove(), 8000);
  };

  // -- what is left blank is not sent; the blanks of shots say whose the others are -----------------
  document.addEventListener("htmx:configRequest", (event) => {
    const { verb, formData } = event.detail;
    if (verb !== "get") return;
    for (const name of new Set(formData.keys())) {
      if (!name.startsWith("shot_") && formData.getAll(name).every((one) => one === "")) formData.delete(name);
    }
  });

  // -- a field, its native names and its verdicts light up together ------------------------------
  const light = (target, on) => {
    const held = target.closest && target.closest("[data-field]");
    if (!held || !held.dataset.field) return;
    for (const one of document.querySelectorAll(`[data-field="${CSS.escape(held.dataset.field)}"]`)) {
      one.classList.toggle("lit", on);
    }
  };
  document.addEventListener("mouseover", (event) => light(event.target, true));
  document.addEventListener("mouseout", (event) => light(event.target, false));
  document.addEventListener("focusin", (event) => light(event.target, true));
  document.addEventListener("focusout", (event) => light(event.target, false));

  // -- what was opened stays open when it is drawn anew --------------------------------------------
  const opened = new Map();
  document.addEventListener("toggle", (event) => {
    if (event.target.dataset.open) opened.set(event.target.dataset.open, event.target.open);
  }, true);
  document.addEventListener("htmx:load", (event) => { // also what came as an event of a stream
    for (const one of event.target.querySelectorAll("details[data-open]")) {
      if (opened.has(one.dataset.open)) one.open = opened.get(one.dataset.open);
    }
  });

  // -- rows, chips, sliders, mends ----------------------------------------------------------------
  const clicks = {
    adds: (button) => {
      const name = button.dataset.adds;
      const rows = document.querySelector(`[data-rows="${name}"]`);
      rows.append(document.querySelector(`template[data-row="${name}"]`).content.cloneNode(true));
      rows.lastElementChild.querySelector("input").focus();
    },
    removes: (button) => {
      button.closest(".row").remove();
      replan();
    },
    remove: (button) => {
      button.closest(".chip").remove();
      replan();
    },
    inserts: (button) => {
      const prompt = document.getElementById("f-prompt");
      prompt.setRangeText(button.dataset.inserts + " ", prompt.selectionStart, prompt.selectionEnd, "end");
      prompt.focus();
      replan();
    },
    puts: (button) => {
      document.getElementById(button.dataset.into).value = button.dataset.puts;
      replan();
    },
    allow: (button) => {
      const name = button.dataset.allow.split("=")[0];
      for (const old of form().querySelectorAll(`input[name="allow"][value^="${CSS.escape(name)}="]`)) old.remove();
      const kept = document.createElement("input");
      Object.assign(kept, { type: "hidden", name: "allow", value: button.dataset.allow });
      document.getElementById("allowed").append(kept);
      replan();
    },
    picks: (button) => {
      const picker = document.createElement("input");
      picker.type = "file";
      picker.addEventListener("change", () => give(button.closest("[data-drop]"), picker.files[0]));
      picker.click();
    },
    copies: (button) => {
      const text = document.getElementById(button.dataset.copies).textContent;
      navigator.clipboard.writeText(text).then(() => notice("Copied."), () => notice("The browser does not let it be copied."));
    },
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    for (const [name, act] of Object.entries(clicks)) if (name in button.dataset) act(button);
  });
  document.addEventListener("input", (event) => {
    const slider = event.target;
    if (slider.dataset && slider.dataset.slides) document.getElementById(slider.dataset.slides).value = slider.value;
  });

  // -- tabs keep what was typed -------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("a[data-keep]");
    if (!tab || !form() || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const query = new URLSearchParams(new FormData(form()));
    query.delete("shown");
    query.set("workflow", new URL(tab.href).searchParams.get("workflow"));
    location.assign(`${base}/?${query}`);
  });

  // -- files that are dropped, pasted or chosen ---------------------------------------------------
  const give = async (place, file) => {
    if (!place || !file) return;
    const answer = await fetch(`${base}/uploads`, { method: "POST", body: file });
    const told = await answer.json().catch(() => ({ message: `status ${answer.status}` }));
    if (!answer.ok) return notice(`${file.name}: ${told.message}`);
    place.querySelector("input").value = told.name;
    const shown = place.querySelector("img.thumbnail");
    if (shown && file.type.startsWith("image/")) {
      shown.src = `${base}/uploads/${told.name.slice("upload:".length)}`;
      shown.hidden = false;
    }
    replan();
  };
  const dropping = (event) => event.target.closest && event.target.closest("[data-drop]");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    const place = dropping(event);
    if (place) place.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    const place = dropping(event);
    if (place) place.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const place = dropping(event);
    if (!place) return;
    place.classList.remove("over");
    give(place, event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const place = dropping(event);
    const file = event.clipboardData && event.clipboardData.files[0];
    if (!place || !file) return;
    event.preventDefault();
    give(place, file);
  });

  // -- the focus stays where it was when that place is drawn anew ---------------------------------
  const REACHED = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  let focused = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const one = document.activeElement;
    const place = one && one.closest("main [id]");
    if (place) focused = { id: place.id, number: [...place.querySelectorAll(REACHED)].indexOf(one) };
  });
  document.addEventListener("htmx:afterSettle", () => {
    const place = focused && document.getElementById(focused.id);
    if (!place || document.activeElement !== document.body) return;
    const reached = [...place.querySelectorAll(REACHED)];
    (reached[Math.min(Math.max(focused.number, 0), reached.length - 1)] || place).focus();
  });

  // -- runs: cards that have not changed stay, and what was open in others is open again -----------
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const slot = event.target;
    if (!slot.dataset || !slot.dataset.digest) return;
    if (slot.dataset.digest === event.detail.lastEventId) return event.preventDefault();
    slot.dataset.digest = event.detail.lastEventId;
    slot.opened = [...slot.querySelectorAll("details[open]")].map((one) => one.id);
  });
  document.addEventListener("htmx:sseMessage", (event) => {
    for (const id of event.target.opened || []) {
      const again = document.getElementById(id);
      if (again) again.open = true;
    }
  });

  // -- clips that are played together --------------------------------------------------------------
  const clips = () => [...document.querySelectorAll("video[data-clip]")].filter((one) => one.readyState > 0);
  const together = {
    play: () => {
      const all = clips();
      if (all.every((one) => one.ended)) for (const one of all) one.currentTime = 0;
      const at = Math.min(...all.filter((one) => !one.ended).map((one) => one.currentTime));
      all.forEach((one, number) => {
        if (number > 0) one.muted = true; // the sound of one is enough
        if (at < one.duration) one.currentTime = at;
      });
      for (const one of all) if (at < one.duration) one.play().catch((error) => notice(error.message));
    },
    pause: () => clips().forEach((one) => one.pause()),
    restart: () => {
      for (const one of clips()) one.currentTime = 0;
      together.play();
    },
  };
  clicks.together = (button) => together[button.dataset.together]();
  const DRIFT = 0.15; // seconds
  document.addEventListener(
    "timeupdate",
    (event) => {
      const playing = clips().filter((one) => !one.paused && !one.ended);
      if (playing[0] !== event.target || !document.querySelector("[data-together]")) return;
      for (const one of playing.slice(1)) {
        if (Math.abs(one.currentTime - playing[0].currentTime) > DRIFT) one.currentTime = playing[0].currentTime;
      }
    },
    true,
  );

  // -- what goes wrong is said --------------------------------------------------------------------
  document.addEventListener("htmx:sendError", () => notice("The studio does not answer. Is it still running?"));
  document.addEventListener("htmx:responseError", (event) => notice(`The studio answered ${event.detail.xhr.status}.`));
})();

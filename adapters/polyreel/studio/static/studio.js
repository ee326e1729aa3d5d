// What the pages do beside htmx. Without it they still show what their address holds.
"use strict";
(() => {
  const base = document.body.dataset.base;
  const form = () => document.getElementById("request");
  const replan = () => form() && htmx.trigger(form(), "replan");
  const typed = () => {
    const data = new FormData(form());
    data.delete("shown");
    return trimmed(data);
  };
  const textOf = (data) => new URLSearchParams(data).toString();

  const notice = (text) => {
    const told = document.getElementById("notices");
    if ([...told.children].some((one) => one.textContent === text)) return; // pages ask again and again
    const shown = document.createElement("p");
    shown.textContent = text;
    told.append(shown);
    setTimeout(() => shown.remove(), 8000);
  };

  // -- what is left blank is not sent; the blanks of shots say whose the others are -----------------
  const trimmed = (data) => {
    for (const name of new Set(data.keys())) {
      if (!["shot_prompt", "shot_duration"].includes(name) && data.getAll(name).every((one) => one === "")) data.delete(name);
    }
    return data;
  };
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb === "get") trimmed(event.detail.formData);
  });

  // -- a field, its native names and its verdicts light up together: of what was acted on last ----
  let lit = "";
  let mouse = "";
  const fieldOf = (one) => (one && one.closest && one.closest("[data-field]") || { dataset: {} }).dataset.field || "";
  const light = (name) => {
    lit = name;
    for (const one of document.querySelectorAll("[data-field]")) one.classList.toggle("lit", !!lit && one.dataset.field === lit);
  };
  document.addEventListener("mouseover", (event) => {
    const place = `${event.screenX} ${event.screenY}`;
    if (place === mouse) return; // the page moved, and not the mouse
    mouse = place;
    light(fieldOf(event.target) || fieldOf(document.activeElement));
  });
  document.documentElement.addEventListener("mouseleave", () => light(fieldOf(document.activeElement)));
  document.addEventListener("focusin", (event) => light(fieldOf(event.target)));
  document.addEventListener("focusout", (event) => event.relatedTarget || light(""));
  document.addEventListener("input", (event) => light(fieldOf(event.target)));
  document.addEventListener("htmx:afterSettle", () => light(lit));

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
      const field = button.closest(".field");
      button.closest(".row").remove();
      field.querySelector("[data-adds]").focus();
      replan();
    },
    remove: (button) => {
      const field = button.closest(".field");
      button.closest(".chip").remove();
      if (field) field.querySelector("textarea, select, input:not([type=hidden]), [data-adds]").focus();
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
      (document.getElementById(`allowed-${name}`) || document.getElementById("allowed")).append(kept);
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

  // -- Enter in a field plans again, as the button does that is the first of the form ---------------
  document.addEventListener("submit", (event) => {
    if (!event.submitter || !("plan" in event.submitter.dataset)) return;
    event.preventDefault();
    replan();
  });

  // -- no answer overwrites what was changed after it was asked for, nor what is being pressed -----
  let answered = null; // what was typed when the columns that are shown were asked for
  let asked = null; // the same, of the answer that is being swapped in
  let pressed = null;
  const later = [];
  const isPressed = (place) => !!pressed && place.contains(pressed);
  const released = () => setTimeout(() => { // after the click
    pressed = null;
    for (const act of later.splice(0)) act();
  });
  document.addEventListener("pointerdown", (event) => {
    pressed = event.target.closest && event.target.closest("a, button, input, label, select, summary");
  }, true);
  document.addEventListener("pointerup", released, true);
  document.addEventListener("pointercancel", released, true);
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt !== form()) return;
    event.detail.xhr.typed = typed();
    if (answered === textOf(typed())) event.preventDefault(); // a field that was only left
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr, pathInfo, requestConfig } = event.detail, { elt, verb } = requestConfig;
    if (isPressed(target) && verb === "get") {
      event.detail.shouldSwap = false;
      later.push(elt === form() ? replan : () => htmx.ajax("GET", pathInfo.requestPath, { source: elt }));
    } else if (elt === form() && event.detail.shouldSwap) {
      asked = xhr.typed;
      answered = textOf(asked);
    }
  });
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail, name = target.dataset.holds;
    const isLate = name && asked && form() && String(asked.getAll(name)) !== String(typed().getAll(name));
    if (name && (isLate || isPressed(target))) {
      event.detail.shouldSwap = false;
      answered = null;
      later.push(replan);
      if (!pressed) released();
    } else if (isPressed(target)) {
      event.detail.shouldSwap = false;
      later.push(() => htmx.swap(target, fragment.firstElementChild.outerHTML, { swapStyle: "outerHTML" }));
    } else if (target.id === "shown" && answered === null) { // the next answer brings what was left out
      event.detail.shouldSwap = false;
      target.value = "";
    }
  });

  // -- tabs keep what was typed -------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("a[data-keep]");
    if (!tab || !form() || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const query = new URLSearchParams(typed());
    if ([...form().querySelectorAll("[name=vendor]")].every((one) => one.checked)) query.delete("vendor");
    if (!query.get("fault")) query.delete("times");
    query.set("workflow", new URL(tab.href).searchParams.get("workflow"));
    location.assign(`${base}/?${query}`);
  });

  // -- files that are dropped, pasted or chosen ---------------------------------------------------
  const give = async (place, file) => {
    if (!place || !file) return;
    const answer = await fetch(`${base}/uploads?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
    const told = await answer.json().catch(() => ({ message: `status ${answer.status}` }));
    if (!answer.ok) return notice(`${file.name}: ${told.message}`);
    place.querySelector("input").value = told.name;
    const shown = place.querySelector("img.thumbnail");
    if (shown && file.type.startsWith("image/")) {
      shown.src = `${base}/uploads/${told.name.split(/[:/]/).pop()}`;
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
  const named = (one) => `${one.tagName} ${one.dataset.allow || one.getAttribute("aria-label") || one.textContent}`;
  let focused = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const one = document.activeElement;
    const place = one && one.closest("main [id]");
    if (place) focused = { id: place.id, name: named(one), number: [...place.querySelectorAll(REACHED)].indexOf(one) };
  });
  document.addEventListener("htmx:afterSettle", () => {
    const place = focused && document.getElementById(focused.id);
    if (!place || document.activeElement !== document.body) return;
    const reached = [...place.querySelectorAll(REACHED)];
    const same = reached.filter((one) => named(one) === focused.name);
    const again = same.includes(reached[focused.number]) ? reached[focused.number] : same[0];
    if (again) return again.focus();
    // Another control in its place would take the next Enter.
    if (place.tabIndex < 0) place.tabIndex = -1;
    place.focus({ preventScroll: true });
  });

  // -- runs: cards that have not changed stay, and what was open in others is open again -----------
  document.addEventListener("htmx:sseBeforeMessage", (event) => {
    const slot = event.target;
    if (!slot.dataset || !slot.dataset.digest) return;
    if (slot.dataset.digest === event.detail.lastEventId) return event.preventDefault();
    if (isPressed(slot)) {
      later.push(() => htmx.swap(slot, event.detail.data, { swapStyle: "innerHTML" }));
      event.preventDefault();
    }
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

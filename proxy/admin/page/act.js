// What the page can have done.

// post has something done, and says so or why not.
export async function post(path, parameters, say) {
  const query = new URLSearchParams(parameters).toString();
  try {
    const response = await fetch(path + (query ? "?" + query : ""), { method: "POST", signal: AbortSignal.timeout(30000) });
    const body = await response.json();
    if (response.ok) say("done");
    else say(body.detail || body.title, true);
  } catch {
    say("no answer", true);
  }
}

// twice has a button ask before it acts: what it does concerns every caller.
export function twice(button, act) {
  const label = button.textContent;
  let timer = 0;
  const calm = () => {
    clearTimeout(timer);
    button.textContent = label;
    button.classList.remove("sure");
  };
  button.addEventListener("click", () => {
    if (button.classList.contains("sure")) {
      calm();
      act();
      return;
    }
    button.textContent = "Sure? " + label;
    button.classList.add("sure");
    timer = setTimeout(calm, 4000);
  });
  button.addEventListener("blur", calm);
}

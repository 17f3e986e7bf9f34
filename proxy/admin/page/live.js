// Follows what happens: the state once a second, and calls as they end. Asks nobody
// while nobody looks.
const again = 3000; // ms until a stream that was refused is asked for again

// follow starts with all calls. What comes is handed to on: status(state),
// latest(calls, skew, more), calls(calls, lost), link(state) and refused(why). more says
// that calls which were handed on before, and are newer, belong to them.
export function follow(on) {
  let filter = ""; // that is wanted
  let taken = ""; // that Outrider has taken last
  let shown = ""; // that of the calls that were handed on
  let source = null;
  let timer = 0;
  let asked = 0; // only the answer to the latest question counts

  // latest asks, and gives false if the filter is none.
  async function latest() {
    const mine = ++asked;
    const response = await fetch("/api/calls?filter=" + encodeURIComponent(filter), { signal: AbortSignal.timeout(5000) });
    const body = await response.json();
    if (response.status === 400) {
      if (mine === asked) on.refused(body.detail);
      return false;
    }
    if (mine !== asked) return true;
    if (!response.ok) throw new Error(body.detail);
    // Date has whole seconds: less than two of difference mean nothing.
    const ahead = Date.parse(response.headers.get("Date")) - Date.now();
    on.latest(body, Math.abs(ahead) > 2000 ? ahead : 0, filter === shown);
    shown = filter;
    return true;
  }

  function close() {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  }

  function open() {
    close();
    const stream = source = new EventSource("/api/events?filter=" + encodeURIComponent(filter));
    stream.addEventListener("open", () => {
      on.link("live");
      latest().catch(() => on.link("no answer")); // of before, or what was missed
    });
    stream.addEventListener("status", (event) => on.status(JSON.parse(event.data)));
    stream.addEventListener("calls", (event) => {
      const { calls, lost } = JSON.parse(event.data);
      on.calls(calls, lost || 0);
    });
    stream.addEventListener("error", () => {
      on.link("no answer");
      if (stream.readyState === EventSource.CLOSED && stream === source) timer = setTimeout(open, again); // else it tries by itself
    });
  }

  function look() {
    if (document.hidden) {
      close();
      on.link("asleep");
    } else {
      open();
    }
  }

  document.addEventListener("visibilitychange", look);
  look(); // a tab that is opened in the background is hidden from the first

  // The calls are those of another filter from now on, if it is one.
  return async (wanted) => {
    filter = wanted;
    const fine = await latest().catch(() => true); // the stream will tell
    if (filter !== wanted) return; // another is asked for by now
    if (fine) {
      taken = wanted;
      look();
    } else {
      filter = taken;
    }
  };
}

package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A browser is a tab of a real one.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// openPage shows the page of a sidecar in Chromium.
func openPage(t *testing.T, address string) *browser {
	t.Helper()
	client{name: "chromium", install: "apt-get install -y chromium", probe: []string{"chromium", "--version"}}.present(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 8*patience) // a safety net
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.Navigate("about:blank"))
	said := make(chan struct{})
	go func() { // an error, or something that the content policy forbids
		defer close(said)
		for message, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			failed := strings.HasPrefix(message.Text, "Failed to load resource") // an answer that is an error is none of the page
			if kind := string(message.Type); (kind == "error" || kind == "exception" || kind == "warning") && !failed {
				t.Errorf("the console says: %s", message.Text)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-said })
	b.do(chromedp.Navigate("http://" + address + "/"))
	return b
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// value is that of a JavaScript expression.
func (b *browser) value(expression string) any {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits for an expression to be true. It asks again and again, each time anew: a
// browser that has much to do loses what it was asked once.
func (b *browser) until(expression string) {
	b.t.Helper()
	var seen error
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * patience); time.Now().Before(end); <-tick.C {
		is, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if is {
			return
		}
		if seen = err; b.ctx.Err() != nil {
			break
		}
	}
	b.t.Fatalf("never so: %s: %v\n%v", expression, seen, b.value("document.body.innerText"))
}

func (b *browser) keys(keys string) { b.t.Helper(); b.do(chromedp.KeyEvent(keys)) }

// picture keeps what is seen, where somebody wants to look at it.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("OUTRIDER_TEST_PICTURES")
	if dir == "" {
		return
	}
	data, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// colours has the page be seen as by somebody whose system is dark or light.
func (b *browser) colours(scheme string) {
	b.t.Helper()
	feature := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{feature}}); err != nil {
		b.t.Fatal(err)
	}
}

// rows is how many calls are listed.
const rows = `document.querySelectorAll("#list .row").length`

func TestPageShowsCallsAsTheyEnd(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launchWith(t, "[telemetry]\ntrace_url = \"http://jaeger.test/trace/{trace_id}\"", api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/before"))
	b := openPage(t, r.adminAt)
	b.until(rows + ` === 1 && document.querySelector("#link").textContent === "live"`)
	resp, _ := get(t, http.DefaultClient, r.url("/api/after"))
	b.until(`document.querySelector("#list .row .c-call").textContent === "GET /after"`)
	b.until(`document.querySelector(".upstream .traffic").innerText.includes("p99")`)

	// One is opened, by the keyboard alone.
	b.keys("j" + kb.Enter)
	b.until(`document.querySelector("#list .detail").innerText.includes("attempt 1: 200")`)
	trace := resp.Header.Get("Outrider-Trace")
	if link := b.value(`document.querySelector("#list .detail a").href`); link != "http://jaeger.test/trace/"+trace {
		t.Errorf("it links to %v", link)
	}
	b.picture("call")
	b.keys(kb.Escape)
	b.until(`!document.querySelector("#list .detail")`)

	// What an application wrote is text, whatever it looks like.
	get(t, http.DefaultClient, r.url("/api/%3Cimg%20src=x%20onerror=document.title='taken'%3E"))
	b.until(rows + " === 3")
	if title := b.value("document.title"); title != "Outrider" || b.value(`document.querySelectorAll("#list img").length`) != 0.0 {
		t.Errorf("the page became %v", title)
	}
}

func TestPageFiltersAndPauses(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/one"))
	get(t, http.DefaultClient, r.url("/nobody/x"))
	b := openPage(t, r.adminAt)
	b.until(rows + " === 2")
	b.keys("/")
	b.until(`document.activeElement === document.querySelector("#filter")`)
	b.value(`document.querySelector("#filter").value = ""`) // a key that is made has its character written all the same
	b.keys("4xx")
	b.until(rows + ` === 1 && document.querySelector("#list .c-status").textContent === "404"`)
	get(t, http.DefaultClient, r.url("/api/two"))
	get(t, http.DefaultClient, r.url("/nobody/y"))
	b.until(rows + " === 2")
	get(t, http.DefaultClient, r.url("/api/last"))
	b.value(`document.querySelector("#filter").value = ""`)
	b.keys("/x") // newer calls than the one that it takes are there, and were shown
	b.until(rows + ` === 1 && document.querySelector("#list .c-call").textContent.includes("/x")`)
	b.value(`document.querySelector("#filter").value = ""`)
	b.keys("4xx")
	b.until(rows + " === 2")
	b.keys(" >5")
	b.until(`document.querySelector("#refused").textContent.includes("must be > and a duration")`)
	if n := b.value(rows); n != 2.0 {
		t.Errorf("a filter that is none leaves %v calls", n)
	}
	b.keys(kb.Escape)
	b.until(rows + " === 5")

	b.keys("p")
	get(t, http.DefaultClient, r.url("/api/three"))
	b.until(`document.querySelector(".upstream .traffic").title !== null && document.querySelector("#pause").textContent === "paused"`)
	if n := b.value(rows); n != 5.0 {
		t.Errorf("paused, and %v calls are listed", n)
	}
	b.keys("p")
	b.until(rows + " === 6")
}

// What concerns every caller is done by a second click only.
func TestPageActsWhenItIsSure(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	path := filepath.Join(t.TempDir(), "outrider.toml")
	r := launch(t, api(server.Listener.Addr().String()))
	r.reloader.Path = path
	b := openPage(t, r.adminAt)
	b.until(`document.querySelector(".actions summary") !== null`)
	open := `[...document.querySelectorAll(".menu button")][0]`
	b.value(`document.querySelector(".actions").open = true`)
	b.value(open + ".click()")
	b.until(open + `.textContent.startsWith("Sure?")`)
	if resp, _ := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 200 {
		t.Errorf("not sure, and %d", resp.StatusCode)
	}
	b.value(open + ".click()")
	b.until(`document.querySelector(".said").textContent === "done" && document.querySelector(".upstream").dataset.state === "open"`)
	b.picture("circuit")
	if resp, _ := get(t, http.DefaultClient, r.url("/api/x")); resp.StatusCode != 503 {
		t.Errorf("opened, and %d", resp.StatusCode)
	}
	closing := `[...document.querySelectorAll(".menu button")][1]`
	b.value(closing + ".click()")
	b.value(closing + ".click()")
	b.until(`document.querySelector(".upstream").dataset.state === "clear"`)

	reload := `document.querySelector("#reload")`
	b.value(reload + ".click()")
	b.value(reload + ".click()")
	b.until(`document.querySelector("#reloaded").classList.contains("bad") && document.querySelector("#reloaded").textContent.includes("outrider.toml")`)
}

// A second look at what is configured, by its keyboard, and what it is in any width and light.
func TestPageFitsEveryScreen(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String())+"\n[upstream.a-rather-long-name-for-an-upstream]\nurl = \"https://some.very.long.host.name.that.nobody.can.resolve.example.test\"\n")
	for i := range 30 {
		get(t, http.DefaultClient, r.url(fmt.Sprintf("/api/%s/%d", strings.Repeat("long/", 20), i)))
	}
	b := openPage(t, r.adminAt)
	b.until(rows + " === 30")
	b.value(`document.querySelector("#plan").open = true`)
	b.until(`document.querySelectorAll(".plan").length === 2`)
	b.value(`document.querySelector(".plan").open = true`)
	b.until(`document.querySelector(".plan").innerText.includes("→ limit →")`)
	b.value(`document.querySelector("#list .row").click()`)
	for _, scheme := range []string{"dark", "light"} {
		b.colours(scheme)
		for _, width := range []int64{360, 700, 1000, 1280, 1920} {
			b.do(chromedp.EmulateViewport(width, 900))
			if wide := b.value("document.documentElement.scrollWidth").(float64); wide > float64(width) {
				t.Errorf("at a width of %d it is %v wide", width, wide)
			}
			b.picture(fmt.Sprintf("%s-%d", scheme, width))
		}
	}
}

// A tab that is opened in the background asked for events although nobody saw it. A browser
// has six connections to a host: six such tabs, and the seventh page never came.
func TestPageThatNobodySeesAsksForNothing(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/one"))
	b := openPage(t, r.adminAt)
	b.until(rows + " === 1")
	script := page.AddScriptToEvaluateOnNewDocumentParams{Source: `Object.defineProperty(document, "hidden", { configurable: true, get: () => true })`}
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, script); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate("http://" + r.adminAt + "/"))
	b.until(`document.querySelector("#link").textContent === "asleep"`)
	if n := b.value(rows); n != 0.0 {
		t.Errorf("%v calls are listed", n)
	}
	b.value(`delete document.hidden; document.dispatchEvent(new Event("visibilitychange"))`)
	b.until(rows + ` === 1 && document.querySelector("#link").textContent === "live"`)
}

// A page that is left open sees a new process, and needs no hand.
func TestPageComesBackAfterARestart(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	r := launch(t, api(server.Listener.Addr().String()))
	get(t, http.DefaultClient, r.url("/api/one"))
	b := openPage(t, r.adminAt)
	b.until(rows + " === 1")
	_ = r.admin.Close()
	b.until(`document.querySelector("#link").textContent === "no answer"`)
	get(t, http.DefaultClient, r.url("/api/two"))
	listener, err := net.Listen("tcp", r.adminAt)
	if err != nil {
		t.Fatal(err)
	}
	r.serveAdmin(listener)
	b.until(rows + ` === 2 && document.querySelector("#link").textContent === "live"`)
}

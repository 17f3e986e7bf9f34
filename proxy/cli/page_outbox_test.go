package cli

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// letterRows is how many letters are listed.
const letterRows = `document.querySelectorAll("#letters-list .row").length`

// Dead letters are seen, looked at and sent again on the page, by the keyboard alone but for
// what is sure by a second click.
func TestPageLooksAfterLetters(t *testing.T) {
	home(t, "")
	server := newFickle(t)
	r := launch(t, keepingAPI(server.URL))
	b := openPage(t, r.adminAt)
	b.until(`document.querySelector("#link").textContent === "live"`)
	r.keepLetter("/crm/v1/charges?note=hidden", "amount=<img src=x onerror=document.title='taken'>")
	r.keepLetter("/crm/v1/orders", "order=x")
	r.keepLetter("/crm/v1/orders", "order=y")
	b.until(`document.querySelector("#outbox-upstreams tbody tr")?.children[3].textContent === "3"`)
	r.alarms.Look(r.states(), time.Now())
	b.until(`document.querySelector("#alerts .alert strong")?.textContent === "3 dead letters of crm"`)

	// The list opens by the keyboard, and so does a letter.
	b.value(`document.querySelector("#letters summary").focus()`)
	b.keys(kb.Enter)
	b.until(letterRows + " === 3")
	b.until(`document.querySelector("#letters-list .l-state").textContent === "dead: refused"`)
	b.value(`document.querySelector("#letters-list .row").focus()`)
	b.keys(kb.Enter)
	b.until(`document.querySelector("#letters-list .detail")?.innerText.includes("amount must be a number")`)
	b.until(`document.querySelector("#letters-list .detail").innerText.includes("attempt 1")`)
	b.picture("letters")
	if n := b.value(`document.body.innerText.includes("hidden")`); n != false {
		t.Error("the query is shown")
	}

	// One is sent again, and taken now.
	server.mended.Store(true)
	again := `document.querySelector("#letters-list .letter-acts button")`
	b.value(again + ".click()")
	b.until(again + `.textContent.startsWith("Sure?")`)
	b.value(again + ".click()")
	b.until(letterRows + " === 2")
	b.keys(kb.Escape)

	// The filter chooses, and all that it chooses are sent.
	b.value(`const state = document.querySelector("#letters-state"); state.value = "delivered"; state.dispatchEvent(new Event("change"))`)
	b.until(letterRows + ` === 1 && document.querySelector("#letters-list .l-state").textContent === "delivered"`)
	if hidden := b.value(`document.querySelector("#letters-retry").hidden`); hidden != true {
		t.Error("what is delivered can be sent again")
	}
	b.value(`document.querySelector("#letters-state").value = "dead"; document.querySelector("#letters-state").dispatchEvent(new Event("change"))`)
	b.until(letterRows + " === 2")
	b.value(`document.querySelector("#letters-retry").click(); document.querySelector("#letters-retry").click()`)
	b.until(`document.querySelector("#letters-said").textContent === "done"`)
	r.standsSo("0 waiting, 0 dead, 3 delivered")
	b.until(letterRows + ` === 0 && !document.querySelector("#no-letters").hidden`)
	if title := b.value("document.title"); title != "Outrider" {
		t.Errorf("the page became %v", title)
	}
	for _, width := range []int64{360, 700, 1280} {
		b.do(chromedp.EmulateViewport(width, 900))
		if wide := b.value("document.documentElement.scrollWidth").(float64); wide > float64(width) {
			t.Errorf("at a width of %d it is %v wide", width, wide)
		}
		b.picture(fmt.Sprintf("outbox-%d", width))
	}
}

// A page of a sidecar that keeps no call says nothing of an outbox.
func TestPageWithoutAnOutboxHasNone(t *testing.T) {
	home(t, "")
	server := upstream(t, echoTarget)
	b := openPage(t, launch(t, api(server.Listener.Addr().String())).adminAt)
	b.until(`document.querySelector("#link").textContent === "live" && document.querySelector(".upstream") !== null`)
	if hidden := b.value(`document.querySelector("#outbox").hidden`); hidden != true {
		t.Error("there is an outbox on the page")
	}
}

//go:build unix

package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"outrider/proxy/outbox"
	"outrider/proxy/simulator"
)

// A depot is a station whose provider is down, so that what it keeps stays.
type depot struct {
	*station
	sim  *simulator.Simulator
	kept []string // the ids of letters that were promised
	told int      // calls that were told that they are not kept
}

// newDepot is one that has its state in a directory, with more at the top of its document.
func newDepot(t *testing.T, state string, top ...string) *depot {
	t.Helper()
	sim, base := provide(t, simulator.Settings{Seed: 3, MaxEntries: 1 << 20})
	d := &depot{sim: sim, station: newStation(t, home(t, fmt.Sprintf(`state_dir = %q
%s
[telemetry]
access_log = false
[upstream.api]
url = %q
outbox = "always"
auth = { type = "none" }
retry = { attempts = 1, idempotency_header = "Idempotency-Key", mint_key = true }
circuit = { open = "1s", open_max = "1s" }
`, state, strings.Join(top, "\n"), base)))}
	d.outage("503")
	return d
}

// outage has the provider fail in some way, or not any more: "off".
func (d *depot) outage(kind string) {
	d.t.Helper()
	if err := d.sim.Control(simulator.Control{Outage: kind}); err != nil {
		d.t.Fatal(err)
	}
}

// call makes a call with a body of about so many bytes, and reports whether it was kept.
func (d *depot) call(t *testing.T, size int) bool {
	t.Helper()
	logical := fmt.Sprint(len(d.kept)+d.told, " ")
	req, err := http.NewRequest(http.MethodPost, d.url("/api/charges"), strings.NewReader(strings.Repeat(logical, size/len(logical))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Logical-Id", logical)
	resp, body := do(t, http.DefaultClient, req)
	switch {
	case resp.StatusCode == http.StatusAccepted:
		d.kept = append(d.kept, resp.Header.Get("Outrider-Letter"))
		return true
	case resp.StatusCode != http.StatusServiceUnavailable || slug(body) != "outbox-unavailable":
		t.Fatalf("got %d %s", resp.StatusCode, body)
	}
	d.told++
	return false
}

// callUntilRefused makes calls until so many in a row were not kept.
func (d *depot) callUntilRefused(t *testing.T, inARow int) {
	t.Helper()
	for row := 0; row < inARow; {
		if row++; d.call(t, 4<<10) {
			row = 0
		}
	}
}

// wantKept looks for all letters that were promised.
func (d *depot) wantKept(t *testing.T) {
	t.Helper()
	for _, id := range d.kept {
		if d.letter(t, id) == nil {
			t.Errorf("the letter %s is lost", id)
		}
	}
}

// ends waits until a letter has ended.
func (d *depot) ends(t *testing.T, id string) (view outbox.View) {
	t.Helper()
	for {
		req, err := http.NewRequest(http.MethodGet, d.url("/outbox/letters/"+id), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Prefer", "wait=60")
		if !d.fetchBy(t, req, &view) {
			t.Fatalf("the letter %s is lost", id)
		}
		if view.HasEnded() {
			return view
		}
	}
}

// wantDelivered waits until all are delivered, each once.
func (d *depot) wantDelivered(t *testing.T) {
	t.Helper()
	for _, id := range d.kept {
		if view := d.ends(t, id); view.State != outbox.StateDelivered {
			t.Errorf("the letter %s: %s %s", id, view.State, view.Reason)
		}
	}
	d.wantEffects(t, len(d.kept))
}

func (d *depot) wantEffects(t *testing.T, want int) {
	t.Helper()
	if stats := d.sim.Stats(); stats.Effects != int64(want) || stats.Duplicates > 0 {
		t.Errorf("of %d letters came %d effects, %d twice", want, stats.Effects, stats.Duplicates)
	}
}

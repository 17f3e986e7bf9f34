//go:build unix

package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"outrider/proxy/outbox"
	"outrider/proxy/simulator"
)

// documentPromises is a provider by three upstreams: one that honours keys, whose calls
// become letters when they ask or when nothing comes of them, and one that knows no keys.
// The retries that may go wrong are to be many: so the budget and the circuit stand back.
func documentPromises(t testing.TB, base string) string {
	t.Setenv("PROVIDER_TOKEN", "canary-of-the-provider")
	const patient = `hosts = []
auth = { type = "bearer", token = "env:PROVIDER_TOKEN" }
circuit = { min_calls = 1000000, failure_run = 1000000, consecutive = 1000000 }
attempt_timeout = "5s"
`
	const keys = `retry = { attempts = 2, base = "10ms", budget = "100%", idempotency_header = "Idempotency-Key", mint_key = true }
`
	return fmt.Sprintf(`
[telemetry]
access_log = false
[upstream.asked]
url = %[1]q
outbox = "allow"
%[2]s%[3]s
[upstream.rescued]
url = %[1]q
outbox = "on_failure"
%[2]s%[3]s
[upstream.plain]
url = %[1]q
outbox = "always"
%[2]s
`, base, patient, keys)
}

// A kindPromised is a kind of calls. Its name begins their X-Logical-Id.
type kindPromised struct {
	name     string
	upstream string
	prefers  bool     // it asks for a letter
	own      bool     // its caller has a key, and calls again until it is answered
	ordered  bool     // each caller's are done in their order
	unkeyed  bool     // the provider would do it twice
	size     int      // of the body, at most
	fates    []string // of a request at the provider: queries, of which it has one
}

// fates leave open in every way what the provider did.
var fates = []string{
	"", "", "work=20ms", "fail=before&with=reset", "fail=after&with=reset", "fail=after&with=close",
	"fail=after&with=502", "fail=before&with=503&times=2", "fail=after&with=reset&times=3", "fail=after&work=30ms&with=reset",
}

var kindsOfPromises = []kindPromised{
	{name: "asked", upstream: "asked", prefers: true, size: 2 << 10, fates: fates},
	{name: "asked again", upstream: "asked", prefers: true, own: true, size: 2 << 10, fates: fates},
	{name: "streamed", upstream: "asked", prefers: true, size: 900 << 10, fates: fates},
	{name: "in order", upstream: "asked", prefers: true, ordered: true, size: 1 << 10, fates: fates},
	{name: "rescued", upstream: "rescued", own: true, size: 2 << 10, fates: fates},
	{name: "without a key", upstream: "plain", unkeyed: true, size: 2 << 10, fates: append(fates[:3:3], "work=50ms", "work=50ms", "fail=after&with=reset")},
}

// A promise is a call, and what its caller was told.
type promise struct {
	kind    *kindPromised
	caller  int
	logical string
	target  string
	body    []byte
	letter  string // the id that a 202 brought; "": there was none
	done    bool   // the provider's own answer came, and it was a good one
}

// newPromise is a call of a kind by chance.
func newPromise(chance *rand.Rand, round, caller, number int) *promise {
	kind := &kindsOfPromises[chance.IntN(len(kindsOfPromises))]
	p := &promise{kind: kind, caller: caller, logical: fmt.Sprintf("%s#%d.%d.%d", kind.name, round, caller, number)}
	p.target = "/" + kind.upstream + "/charges"
	if fate := kind.fates[chance.IntN(len(kind.fates))]; fate != "" {
		p.target += "?" + fate
	}
	p.body = bytes.Repeat([]byte(p.logical), 1+chance.IntN(kind.size/len(p.logical)))
	return p
}

// request is the call at a station. A long body comes without its length.
func (p *promise) request(s *station) (*http.Request, error) {
	var body io.Reader = bytes.NewReader(p.body)
	if len(p.body) > 256<<10 {
		body = struct{ io.Reader }{body}
	}
	req, err := http.NewRequest(http.MethodPost, s.url(p.target), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Logical-Id", p.logical)
	if p.kind.prefers {
		req.Header.Set("Prefer", "respond-async")
	}
	if p.kind.own {
		req.Header.Set("Idempotency-Key", "own "+p.logical)
	}
	if p.kind.ordered {
		req.Header.Set("Outrider-Order-Key", fmt.Sprint("caller ", p.caller))
	}
	return req, nil
}

// promises are all that were made, in the order in which each caller heard of them.
type promises struct {
	mu       sync.Mutex
	made     []*promise
	open     []*promise     // calls without an answer whose callers will call again
	statuses map[string]int // "status problem" of what was no promise → how often
	silent   int            // calls without an answer
}

func newPromises() *promises { return &promises{statuses: map[string]int{}} }

// next is a call that has had no answer yet, or a new one.
func (ps *promises) next(chance *rand.Rand, round, caller, number int) *promise {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if n := len(ps.open); n > 0 {
		p := ps.open[n-1]
		ps.open = ps.open[:n-1]
		return p
	}
	return newPromise(chance, round, caller, number)
}

// make makes a call, and notes what its caller was told: answered is yes where that was
// anything good.
func (ps *promises) make(client *http.Client, s *station, p *promise) (answered bool, err error) {
	req, err := p.request(s)
	if err != nil {
		return false, err
	}
	resp, err := client.Do(req)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case err != nil:
		ps.silent++
	case resp.StatusCode == http.StatusAccepted && resp.Header.Get("Outrider-Letter") != "":
		p.letter = resp.Header.Get("Outrider-Letter")
	case resp.StatusCode == http.StatusCreated:
		p.done = true
	default:
		ps.statuses[fmt.Sprint(resp.StatusCode, " ", slug(string(answer)))]++
	}
	answered = p.letter != "" || p.done
	if p.kind.own && !answered {
		ps.open = append(ps.open, p)
	} else {
		ps.made = append(ps.made, p)
	}
	return answered, nil
}

// kept is how many were promised.
func (ps *promises) kept() (n int) {
	for _, p := range ps.made {
		if p.letter != "" {
			n++
		}
	}
	return n
}

// check compares the promises with what the provider did, and with what the station says,
// when the outbox has come to rest.
func (ps *promises) check(t *testing.T, s *station, done simulator.Stats) {
	t.Helper()
	unknown := 0
	last := map[int]string{} // caller → the charge of its last letter in order
	for _, p := range ps.made {
		of := done.Logical[p.logical]
		switch {
		case of.Effects > 1:
			t.Errorf("%s: it was done %d times, by %d requests", p.logical, of.Effects, of.Received)
		case p.kind.unkeyed && of.Received > 1:
			t.Errorf("%s: it was sent %d times, and has no key", p.logical, of.Received)
		case p.letter == "":
			if p.done && of.Effects == 0 {
				t.Errorf("%s: its caller was told that it was done, and it was not", p.logical)
			}
		default:
			unknown += p.keptAt(t, s, of, last)
		}
	}
	t.Logf("%d calls, %d of them had no answer: %d were kept, of which %d are dead for it is unknown what came of them; %d requests, %d effects, %d twice; other answers: %v",
		len(ps.made), ps.silent, ps.kept(), unknown, done.Requests, done.Effects, done.Duplicates, ps.statuses)
	if done.Duplicates > 0 || done.Uncounted > 0 {
		t.Errorf("%d effects too many, %d names uncounted", done.Duplicates, done.Uncounted)
	}
}

// keptAt checks a call whose caller has the id of a letter. It returns 1 for one of which
// it is unknown whether it was done.
func (p *promise) keptAt(t *testing.T, s *station, of simulator.Effects, last map[int]string) (unknown int) {
	t.Helper()
	view := s.letter(t, p.letter)
	switch {
	case view == nil:
		t.Errorf("%s: its letter %s is lost", p.logical, p.letter)
		return 0
	case p.kind.unkeyed && view.State == outbox.StateDead && view.Reason == outbox.ReasonUnknown:
		return 1
	case view.State != outbox.StateDelivered:
		t.Errorf("%s: %s, %s %s", p.logical, view.State, view.Reason, view.Detail)
		return 0
	case of.Effects == 0:
		t.Errorf("%s: it is delivered, and was not done", p.logical)
		return 0
	}
	var charge simulator.Charge
	if !s.fetch(t, "/outbox/letters/"+p.letter+"/response", &charge) {
		t.Errorf("%s: its answer is lost", p.logical)
		return 0
	}
	if sum := sha256.Sum256(p.body); charge.Logical != p.logical || charge.Body.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%s: the answer is of %q with a body of %d bytes; it had %d", p.logical, charge.Logical, charge.Body.Length, len(p.body))
	}
	if p.kind.ordered {
		if charge.ID <= last[p.caller] {
			t.Errorf("%s: it was done as %s, after %s", p.logical, charge.ID, last[p.caller])
		}
		last[p.caller] = charge.ID
	}
	return 0
}

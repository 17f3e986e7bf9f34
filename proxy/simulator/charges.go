package simulator

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// charges are payments: the one thing here that must not happen twice.
type charges struct {
	mu    sync.Mutex
	made  int64
	byKey *bounded[*charge]
}

// A charge is what is kept under an idempotency key.
type charge struct {
	body     string // digest of the request that made it
	answered bool   // false: still being worked on
	status   int
	answer   []byte
}

func newCharges(most int) *charges { return &charges{byKey: newBounded[*charge](most)} }

func (c *charges) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = 0
	c.byKey.clear()
}

// open finds the charge of a key, or begins one. The copy that it returns is
// safe to read; a new charge is finished by store.
func (c *charges) open(key, body string) (found charge, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.byKey.get(key); ok {
		return *kept, false
	}
	c.byKey.put(key, &charge{body: body})
	return charge{}, true
}

// store keeps the answer of a key.
func (c *charges) store(key, body string, status int, answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byKey.put(key, &charge{body: body, answered: true, status: status, answer: answer})
}

func (c *charges) next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	return c.made
}

// A Charge is the answer of POST /charges.
type Charge struct {
	ID      string `json:"id"`
	Body    Digest `json:"body"`
	Logical string `json:"logical,omitempty"` // X-Logical-Id, as it was sent
}

// order is what one request to /charges asks for.
type order struct {
	key, logical string
	scoped       string // the key, within its credential
	body         Digest
	work         time.Duration
}

// pay serves POST /charges. Idempotency-Key follows the draft of the IETF
// (draft-ietf-httpapi-idempotency-key-header): the same key gives the stored
// answer, 409 while the first request is at work, 422 with another body.
func pay(s *Simulator, w http.ResponseWriter, r *http.Request) {
	p := paramsOf(r)
	fail, with := p.text("fail", ""), p.text("with", "reset")
	switch fail {
	case "", "before", "after", "stored":
	default:
		p.fail("fail = %q: must be before, after or stored", fail)
	}
	if !isKind(with) {
		p.fail("with = %q: must be %s", with, kinds)
	}
	o := order{key: r.Header.Get("Idempotency-Key"), logical: r.Header.Get("X-Logical-Id"), work: p.duration("work", 0)}
	times := 1
	if p.has("p") {
		times = -1
	}
	plan := s.planOf(p, r.URL.Path, times)
	plan.id += " " + orElse(o.key, o.logical) // the attempts of one charge are counted together
	if p.refused(w) {
		return
	}
	var err error
	if o.body, err = digest(r.Body); err != nil {
		respond(w, http.StatusBadRequest, problem{Error: "reading the body: " + err.Error()})
		return
	}

	fails := false
	if fail != "" {
		_, fails = s.plans.next(plan)
	}
	if fails && fail == "before" {
		s.breakOff(w, r, with)
		return
	}
	status, answer := s.charge(w, r, o, fails && fail == "stored")
	if fails && fail == "after" {
		s.breakOff(w, r, with)
		return
	}
	respondBytes(w, status, "application/json", answer)
}

// charge makes the effect, or finds that it was made. A provider that has
// begun finishes its work, whether or not the client is still there.
func (s *Simulator) charge(w http.ResponseWriter, r *http.Request, o order, fails bool) (int, []byte) {
	if o.key == "" {
		pause(s.ctx, o.work)
		return s.effect(o, fails)
	}
	o.scoped = Fingerprint(credentialOf(r)) + " " + o.key
	kept, isNew := s.charges.open(o.scoped, o.body.SHA256)
	switch {
	case isNew:
		pause(s.ctx, o.work)
		status, answer := s.effect(o, fails)
		s.charges.store(o.scoped, o.body.SHA256, status, answer)
		return status, answer
	case kept.body != o.body.SHA256:
		return http.StatusUnprocessableEntity, encode(problem{Error: "idempotency_key_reused", Hint: "this key came with another body before"})
	case !kept.answered:
		w.Header().Set("Retry-After", "1")
		return http.StatusConflict, encode(problem{Error: "idempotency_key_in_use", Hint: "the first request is still at work"})
	}
	w.Header().Set("Idempotent-Replayed", "true")
	return kept.status, kept.answer
}

func (s *Simulator) effect(o order, fails bool) (int, []byte) {
	if fails {
		return http.StatusInternalServerError, encode(problem{Error: "the charge failed", Hint: "and this answer is stored under its key"})
	}
	n := s.charges.next()
	s.tally.effect(o.key, o.logical)
	return http.StatusCreated, encode(Charge{ID: fmt.Sprintf("ch_%06d", n), Body: o.body, Logical: o.logical})
}

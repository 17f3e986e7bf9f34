package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// A Control changes how the simulator behaves from now on.
type Control struct {
	// Outage fails every request but those of the simulator's own pages: a
	// status code, "reset", "close", "hang" or "truncate". "off" ends it, and
	// "" changes nothing.
	Outage string
	// For is how long the outage lasts. Zero: until it is turned off.
	For time.Duration
	// RetryAfter is the header, as it is, of the outage's answers. Empty: none.
	RetryAfter string
	// Revoke kills every access token that is out; refresh tokens live on.
	Revoke bool
}

// An outage that is on.
type outage struct {
	kind       string
	until      time.Time // zero: for ever
	retryAfter string
}

// Control applies c. It fails, and changes nothing, on an unknown outage.
func (s *Simulator) Control(c Control) error {
	switch {
	case c.For < 0 || c.For > maxWait:
		return fmt.Errorf("for = %s: must be 0s to %s", c.For, maxWait)
	case c.Outage == "":
	case c.Outage == "off":
		s.outage.Store(nil)
	case isKind(c.Outage):
		o := &outage{kind: c.Outage, retryAfter: c.RetryAfter}
		if c.For > 0 {
			o.until = time.Now().Add(c.For)
		}
		s.outage.Store(o)
	default:
		return fmt.Errorf("outage = %q: must be %s, or off", c.Outage, kinds)
	}
	if c.Revoke {
		s.grants.revokeAll()
	}
	return nil
}

// Reset forgets statistics, quotas, fault counts, charges and the outage.
// Tokens that are out stay alive.
func (s *Simulator) Reset() {
	s.outage.Store(nil)
	s.tally.reset()
	s.quotas.reset()
	s.points.reset()
	s.plans.reset()
	s.charges.reset()
}

// outageOver fails the request if there is an outage, and says so.
func (s *Simulator) outageOver(w http.ResponseWriter, r *http.Request) bool {
	o := s.current()
	if o == nil {
		return false
	}
	drain(r)
	if o.retryAfter != "" {
		w.Header().Set("Retry-After", o.retryAfter)
	}
	s.breakOff(w, r, o.kind)
	return true
}

func (s *Simulator) current() *outage {
	o := s.outage.Load()
	if o == nil || !o.until.IsZero() && !time.Now().Before(o.until) {
		return nil
	}
	return o
}

// control serves /_control: GET reads, POST changes.
func control(s *Simulator, w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		var in struct {
			Outage     string `json:"outage"`
			For        string `json:"for"`
			RetryAfter string `json:"retry_after"`
			Revoke     bool   `json:"revoke"`
		}
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
		d.DisallowUnknownFields()
		err := d.Decode(&in)
		c := Control{Outage: in.Outage, RetryAfter: in.RetryAfter, Revoke: in.Revoke}
		if err == nil && in.For != "" {
			c.For, err = time.ParseDuration(in.For)
		}
		if err == nil {
			err = s.Control(c)
		}
		if err != nil {
			respond(w, http.StatusBadRequest, problem{Error: err.Error(), Hint: `such as {"outage":"503","for":"5s"}`})
			return
		}
	}
	state := map[string]any{"outage": "off"}
	if o := s.current(); o != nil {
		state["outage"] = o.kind
		if !o.until.IsZero() {
			state["until"] = o.until
		}
	}
	respond(w, http.StatusOK, state)
}

func showStats(s *Simulator, w http.ResponseWriter, r *http.Request) {
	respond(w, http.StatusOK, s.Stats())
}

func resetAll(s *Simulator, w http.ResponseWriter, r *http.Request) {
	s.Reset()
	respond(w, http.StatusOK, map[string]bool{"ok": true})
}

package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A CircuitOrder is what an operator says of circuits.
type CircuitOrder struct {
	Upstream string
	Key      string        // of one circuit; "": all of the upstream
	Open     bool          // false: close
	For      time.Duration // how long it stays open; 0: until it is closed
}

// circuit serves POST /api/circuit/open and …/close.
func (h *handler) circuit(open bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		order, err := readOrder(open, r.URL.Query())
		if err != nil {
			Fail(w, http.StatusBadRequest, "malformed-request", err.Error())
			return
		}
		report, err := h.settings.Circuit(r.Context(), order)
		if err != nil {
			Fail(w, http.StatusUnprocessableEntity, "circuit-unchanged", err.Error())
			return
		}
		Answer(w, http.StatusOK, report)
	}
}

// readOrder takes no parameter that it does not know: without a "for" that somebody
// has misspelt, a circuit would stay open for ever.
func readOrder(open bool, query url.Values) (CircuitOrder, error) {
	known := []string{"upstream", "key"}
	if open {
		known = append(known, "for")
	}
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			return CircuitOrder{}, fmt.Errorf("unknown parameter %q; known here: %q", name, known)
		case len(values) > 1:
			return CircuitOrder{}, fmt.Errorf("%s is there %d times; once is right", name, len(values))
		}
	}
	order := CircuitOrder{Upstream: query.Get("upstream"), Key: query.Get("key"), Open: open}
	if order.Upstream == "" {
		return CircuitOrder{}, fmt.Errorf("the parameter upstream is missing: ?upstream=NAME")
	}
	if text := query.Get("for"); query.Has("for") {
		length, err := time.ParseDuration(text)
		if err != nil || length <= 0 {
			return CircuitOrder{}, fmt.Errorf("for = %q: must be a duration longer than 0, such as 30m", text)
		}
		order.For = length
	}
	return order, nil
}

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
		if r.ContentLength != 0 {
			Fail(w, http.StatusBadRequest, "malformed-request", "The parameters are in the address: there is no body.")
			return
		}
		order, err := readOrder(open, r.URL.RawQuery)
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

// readOrder takes nothing that it does not understand: without a "for" that somebody has
// misspelt, a circuit would stay open for ever, and without a "key" that was left empty,
// all of them would.
func readOrder(open bool, text string) (CircuitOrder, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return CircuitOrder{}, fmt.Errorf("the parameters cannot be read: %w; a ; and a %% in them are written %%3B and %%25", err)
	}
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
	switch {
	case order.Upstream == "":
		return CircuitOrder{}, fmt.Errorf("the parameter upstream is missing: ?upstream=NAME")
	case order.Key == "" && query.Has("key"):
		return CircuitOrder{}, fmt.Errorf("key is empty: name one circuit, or leave key out for all")
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

package policy

import (
	"strconv"
	"strings"
	"time"
)

// UpstreamStatus is the state of one upstream at one moment, for people.
type UpstreamStatus struct {
	Name     string          `json:"name"`
	URL      string          `json:"url"`
	Hosts    []string        `json:"hosts,omitempty"`
	Listen   string          `json:"listen,omitempty"`
	Quotas   []QuotaStatus   `json:"quotas,omitempty"`
	Circuits []CircuitStatus `json:"circuits,omitempty"`
	Budget   float64         `json:"retry_budget"` // retries that may be spent at once

	Credentials []CredentialStatus `json:"credentials,omitempty"` // those that are fetched
	Connections *ConnectionsStatus `json:"connections,omitempty"` // those in use, and of the configuration

	Stale *StaleStatus `json:"stale,omitempty"` // what is kept for stale_if_error; nil: nothing is
}

// Line is how many calls wait in each class. A call that has waited long is in a
// higher class than that of its priority.
type Line struct {
	High   int `json:"high"`
	Normal int `json:"normal"`
	Low    int `json:"low"`
}

// String tells of the classes in which somebody waits: "2 high, 5 normal". It is
// empty when nobody does.
func (l Line) String() string {
	var parts []string
	for _, class := range []struct {
		waiting int
		name    string
	}{{l.High, "high"}, {l.Normal, "normal"}, {l.Low, "low"}} {
		if class.waiting > 0 {
			parts = append(parts, strconv.Itoa(class.waiting)+" "+class.name)
		}
	}
	return strings.Join(parts, ", ")
}

// CircuitStatus is the state of one circuit.
type CircuitStatus struct {
	Key   string     `json:"key"`
	State string     `json:"state"`           // closed, open, half-open
	Until *time.Time `json:"until,omitempty"` // an open circuit lets no call through before
	Held  bool       `json:"held,omitempty"`  // it stays open until an operator closes it
	Cause string     `json:"cause,omitempty"` // why it is not closed: failures, run, slow, connect, silent, probe, operator
	Share float64    `json:"share,omitempty"` // of the calls that pass so far, since a probe has just closed it; else 0

	Since   *time.Time `json:"since,omitempty"`   // when it opened, while not all calls pass: the first time, if it was not for good in between
	Refused int        `json:"refused,omitempty"` // calls since then
}

package outbox

import (
	"encoding/json"
	"time"
)

// An Attempt is one that was made for a letter.
type Attempt struct {
	Number  int       `json:"number"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Status  int       `json:"status,omitempty"` // of the answer; 0: there was none
	Error   string    `json:"error,omitempty"`
	Wire    int       `json:"requests"` // that went on the wire
	TraceID string    `json:"trace_id,omitempty"`
	Damaged bool      `json:"damaged,omitempty"` // its record is not what was written
}

// attempt is the record of the attempt that ended now.
func (d *delivery) attempt(e *ending) []byte {
	a := Attempt{
		Number: d.stored.Attempts + 1, Started: e.Started.UTC().Round(time.Millisecond),
		Seconds: e.Took.Round(time.Millisecond).Seconds(), Wire: e.Wire, TraceID: e.TraceID,
	}
	if e.answer != nil {
		a.Status = e.answer.Status
	}
	if e.Err != nil {
		a.Error = e.Err.Error()
	}
	record, _ := json.Marshal(a) // of such members it cannot fail
	return record
}

// attempts reads records of attempts. A nil one did not open.
func attempts(records [][]byte) []Attempt {
	history := make([]Attempt, len(records))
	for i, record := range records {
		if err := json.Unmarshal(record, &history[i]); err != nil {
			history[i] = Attempt{Number: i + 1, Damaged: true}
		}
	}
	return history
}

package policy

import (
	"strconv"
	"strings"
	"time"

	"outrider/policy/config"
	"outrider/policy/limit"
)

// QuotaStatus is the state of one quota: of one that is configured, or of one that the
// provider's answers tell of, its bucket.
type QuotaStatus struct {
	Key         string         `json:"key"`
	Bucket      string         `json:"bucket,omitempty"` // the provider's name for it, "default" if it has none; "": it is configured
	Limit       string         `json:"limit"`            // as configured: "100/s"; "learned" of one that is not
	Learned     *LearnedStatus `json:"learned,omitempty"`
	Slots       int            `json:"slots,omitempty"`       // calls that may be under way, as configured, or as answers say; 0: any number
	Adapted     float64        `json:"adapted,omitempty"`     // calls a second, as refusals tell that say nothing of a quota; 0: it has not been slowed down
	Utilization *float64       `json:"utilization,omitempty"` // the share that is used up, 0 to 1; nil: it cannot be told
	Tokens      float64        `json:"tokens"`                // calls that may be sent at once; 0 without a rate
	Room        float64        `json:"room"`                  // the most that tokens can be; 0 without a rate
	Active      int            `json:"active"`                // calls under way
	Waiting     int            `json:"waiting"`               // calls in line, for this quota more than for their others
	Line        Line           `json:"line"`                  // the same by class
	Gate        *time.Time     `json:"gate,omitempty"`        // closed by the provider until then
}

// LearnedStatus is what is known of a bucket, in the units of the provider.
type LearnedStatus struct {
	Limit     float64    `json:"limit,omitempty"`  // what there is in a window, or in a bucket that refills; 0: unknown
	Remaining float64    `json:"remaining"`        // what may be spent now: what is on its way is subtracted
	Reset     *time.Time `json:"reset,omitempty"`  // when all is back that is spent, as far as answers tell; nil: unknown, or nothing is spent
	Window    float64    `json:"window,omitempty"` // in how many seconds all comes back; 0: unknown
	Shape     string     `json:"shape"`            // how it comes back: "window" at once, "rolling" each call by itself, "bucket" little by little
	Unit      string     `json:"unit,omitempty"`   // what it counts: "requests", "tokens", "points"…; "": unknown
	Each      float64    `json:"each,omitempty"`   // how much a call is taken to need, where answers tell it of each; 0: they do not
}

// quotaStatus is the state of a quota of a table, or of one of its buckets.
func quotaStatus(l config.Limit, s limit.State) QuotaStatus {
	q := QuotaStatus{
		Key: s.Key, Bucket: s.Bucket, Limit: limitText(l), Slots: l.Concurrency, Adapted: s.Adapted, Tokens: s.Tokens, Room: s.Room,
		Active: s.Active, Waiting: s.Waiting, Line: Line(s.Line), Gate: future(s.Gate),
	}
	if s.Bucket != "" {
		q.Limit, q.Slots = learnedLimit, s.Slots
	}
	if s.Room > 0 {
		q.Utilization = share(s.Room-s.Tokens, s.Room)
	}
	if known := s.Learned; known != nil {
		q.Learned = &LearnedStatus{
			Limit: known.Limit, Remaining: known.Remaining, Reset: future(known.Reset.Local()),
			Window: known.Window.Seconds(), Shape: known.Shape, Unit: string(known.Unit), Each: known.Each,
		}
		if known.Limit > 0 {
			q.Utilization = share(known.Limit-known.Remaining, known.Limit)
		}
	}
	return q
}

// share is a part of a whole, 0 to 1.
func share(part, whole float64) *float64 {
	of := min(max(part/whole, 0), 1)
	return &of
}

// forgotten reports whether a state is of a bucket of which nothing is known any more.
func forgotten(s limit.State) bool {
	return s.Bucket != "" && s.Learned == nil && s.Slots == 0 && s.Waiting == 0 && !s.Gate.After(time.Now())
}

// learnedLimit is the text of a limit that is not configured.
const learnedLimit = "learned"

// limitText is a limit as it is configured, for people.
func limitText(l config.Limit) string {
	var parts []string
	if l.Rate.Count > 0 {
		parts = append(parts, l.Rate.String())
	}
	if l.Concurrency > 0 {
		parts = append(parts, strconv.Itoa(l.Concurrency)+" at once")
	}
	if parts == nil {
		return learnedLimit
	}
	return strings.Join(parts, ", ")
}

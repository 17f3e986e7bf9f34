package outbox

import (
	"cmp"
	"context"
	"slices"
	"time"

	"outrider/proxy/store"
)

// A Standing is how the outbox stands.
type Standing struct {
	Upstreams []UpstreamStanding `json:"upstreams"`
	Size      int64              `json:"size"`               // of all letters, in bytes
	MaxSize   int64              `json:"max_size"`           // bound of that
	Away      string             `json:"away,omitempty"`     // what is wrong with the store
	Refusing  string             `json:"refusing,omitempty"` // why letters are refused, although the store can be asked
}

// An UpstreamStanding is that of the letters to one upstream.
type UpstreamStanding struct {
	Upstream  string         `json:"upstream"`
	Waiting   int            `json:"waiting"` // those that are being sent among them
	Sending   int            `json:"sending"` // by this process
	Delivered int            `json:"delivered"`
	Dead      int            `json:"dead"`
	Reasons   map[string]int `json:"reasons,omitempty"` // reason → dead letters
	Cancelled int            `json:"cancelled"`
	Bytes     int64          `json:"bytes"`
	Oldest    time.Time      `json:"oldest,omitzero"`       // creation of the oldest that waits
	PerMinute float64        `json:"per_minute"`            // ended by this process, lately
	ETA       float64        `json:"eta_seconds,omitempty"` // until none waits; 0: unknown
	Paused    time.Time      `json:"paused_until,omitzero"` // of the lane that pauses longest
}

// Standing tells how the outbox stands: what the store has, and how fast this process sends.
func (o *Outbox) Standing(ctx context.Context) (Standing, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return Standing{}, err
	}
	counts, err := kept.Counts(ctx)
	if err != nil {
		return Standing{}, err
	}
	size, err := kept.Size(ctx)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Upstreams: byUpstream(counts), Size: size, MaxSize: o.limits.Load().MaxSize}
	if err := o.away.now(); err != nil {
		s.Away = err.Error()
	}
	if err := o.refusing.now(o.settings.Observe); err != nil {
		s.Refusing = err.Error()
	}
	o.addProgress(s.Upstreams)
	return s, nil
}

// byUpstream sums up what is there, in the order of the names.
func byUpstream(counts []store.Count) []UpstreamStanding {
	of := map[string]*UpstreamStanding{}
	for _, count := range counts {
		u := of[count.Upstream]
		if u == nil {
			u = &UpstreamStanding{Upstream: count.Upstream}
			of[u.Upstream] = u
		}
		u.add(count)
	}
	standings := make([]UpstreamStanding, 0, len(of))
	for _, u := range of {
		standings = append(standings, *u)
	}
	slices.SortFunc(standings, func(a, b UpstreamStanding) int { return cmp.Compare(a.Upstream, b.Upstream) })
	return standings
}

func (u *UpstreamStanding) add(count store.Count) {
	u.Bytes += count.Bytes
	switch count.State {
	case StateWaiting:
		u.Waiting += count.Letters
		if u.Oldest.IsZero() || count.Oldest.Before(u.Oldest) {
			u.Oldest = count.Oldest
		}
	case StateDelivered:
		u.Delivered += count.Letters
	case StateCancelled:
		u.Cancelled += count.Letters
	case StateDead:
		u.Dead += count.Letters
		if u.Reasons == nil {
			u.Reasons = map[string]int{}
		}
		u.Reasons[count.Reason] += count.Letters
	}
}

// addProgress adds what this process does, and notes what waits, for estimates.
func (o *Outbox) addProgress(standings []UpstreamStanding) {
	waiting := make(map[string]int, len(standings))
	now := time.Now()
	for i := range standings {
		u := &standings[i]
		waiting[u.Upstream] = u.Waiting
		u.Sending, u.Paused, u.PerMinute, _ = o.progress.now(u.Upstream, now)
		if pace := o.progress.catchUp(u.Upstream, now); pace > 0 && u.Waiting > 0 {
			u.ETA = (time.Duration(float64(u.Waiting) / pace * float64(time.Minute))).Round(time.Second).Seconds()
		}
	}
	o.progress.counted(waiting)
}

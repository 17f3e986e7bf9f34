package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Trouble that comes again and again is logged so often within so long a time, and
// counted after that.
const (
	mostRepeats  = 10
	repeatWindow = time.Minute
	maxRepeats   = 1024 // kinds of trouble that are known at a time
)

// A sparing handler leaves out warnings and errors that say the same of the same: the
// eleventh within a minute, and those that follow. How many these were is a line at the
// end of the minute. Lines of calls are at level info, and none of them is left out.
type sparing struct {
	slog.Handler
	repeats *repeats
	of      string // whom records of this handler are about
}

func (h sparing) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		of := h.of
		r.Attrs(func(a slog.Attr) bool {
			of += about(a)
			return true
		})
		if !h.repeats.pass(trouble{r.Message, of}, r.Level, h.Handler) {
			return nil
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h sparing) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := h.of
	for _, a := range attrs {
		of += about(a)
	}
	return sparing{h.Handler.WithAttrs(attrs), h.repeats, of}
}

func (h sparing) WithGroup(name string) slog.Handler {
	return sparing{h.Handler.WithGroup(name), h.repeats, h.of}
}

// about is what tells one trouble from another with the same text: the upstream and what
// of it, or the rule and the subject of an alert.
func about(a slog.Attr) string {
	switch a.Key {
	case "upstream", "circuit", "credential", "rule", "subject":
		return " " + a.Value.String()
	}
	return ""
}

// A trouble is what is logged of whom.
type trouble struct{ text, of string }

// repeats counts troubles.
type repeats struct {
	mu    sync.Mutex
	known map[trouble]*repeated
}

// repeated is one trouble within its minute.
type repeated struct {
	began   time.Time
	logged  int
	leftOut int
	timer   *time.Timer // ends the minute; nil: nothing is left out
	tell    func(leftOut int)
}

// pass reports whether a line is logged. What is left out is told by h, at the end.
func (r *repeats) pass(what trouble, level slog.Level, h slog.Handler) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	x := r.known[what]
	switch {
	case x == nil || x.timer == nil && now.Sub(x.began) >= repeatWindow:
		r.begin(what, now)
		return true
	case x.logged < mostRepeats:
		x.logged++
		return true
	}
	x.leftOut++
	if x.timer == nil {
		x.tell = func(n int) {
			line := slog.NewRecord(time.Now(), level, "more lines of this kind were left out", 0)
			line.AddAttrs(slog.String("line", what.text), slog.String("of", strings.TrimPrefix(what.of, " ")), slog.Int("left_out", n))
			_ = h.Handle(context.Background(), line)
		}
		x.timer = time.AfterFunc(x.began.Add(repeatWindow).Sub(now), func() { r.end(what) })
	}
	return false
}

// begin counts a trouble from now on, if there is room to know of it. The lock is held.
func (r *repeats) begin(what trouble, now time.Time) {
	if len(r.known) >= maxRepeats {
		for key, x := range r.known {
			if x.timer == nil && now.Sub(x.began) >= repeatWindow {
				delete(r.known, key)
			}
		}
		if len(r.known) >= maxRepeats {
			return
		}
	}
	if r.known == nil {
		r.known = make(map[trouble]*repeated)
	}
	r.known[what] = &repeated{began: now, logged: 1}
}

// end tells what was left out of a trouble, and begins anew.
func (r *repeats) end(what trouble) {
	r.mu.Lock()
	x := r.known[what]
	delete(r.known, what)
	r.mu.Unlock()
	if x != nil && x.timer != nil {
		x.timer.Stop()
		x.tell(x.leftOut)
	}
}

// flush tells at once of all that was left out.
func (r *repeats) flush() {
	r.mu.Lock()
	var left []trouble
	for what, x := range r.known {
		if x.timer != nil {
			left = append(left, what)
		}
	}
	r.mu.Unlock()
	for _, what := range left {
		r.end(what)
	}
}
